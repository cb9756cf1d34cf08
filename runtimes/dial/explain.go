package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"sexton.dev/runtimes"
)

// silentBelow is how many bytes a socket may send and still count as silent:
// an HTTP/2 server greets and acknowledges on its own while its handlers hang.
const silentBelow = 1 << 10

// maxText bounds in bytes the text of a failure: the daemon wrote part of it.
const maxText = 600

// A failure says what went wrong in words, and is what its sentinels are
// without repeating their texts.
type failure struct {
	where string // "docker at /run/docker.sock: "
	what  string
	is    []error
}

func (f *failure) Error() string   { return f.where + f.what }
func (f *failure) Unwrap() []error { return f.is }

// Fail returns an error that reads "docker at /run/docker.sock: WHAT" and wraps
// the errors of is that are not nil.
func (d *Dialer) Fail(what string, is ...error) error {
	if len(what) > maxText {
		what = what[:maxText] + "..."
	}
	f := &failure{where: fmt.Sprintf("%s at %s: ", d.kind, d.socket), what: what}
	for _, err := range is {
		if err != nil {
			f.is = append(f.is, err)
		}
	}
	return f
}

// What is the text of an error without the socket, to be part of another text.
func What(err error) string {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.what
	}
	return err.Error()
}

// Explain turns an error of a client library into one that says what the
// socket did. It wraps [runtimes.ErrSilent] if time ran out and nothing came, and
// else the error given, so that syscall.ECONNREFUSED and [fs.ErrNotExist] can
// be tested for. A nil error gives nil.
func (d *Dialer) Explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return err
	}
	d.mu.Lock()
	doing, got, full, flood, dead := d.doing, d.got, d.full, d.flood, d.dead
	limit := min(d.limit, MaxBytes)
	waited := roughly(time.Since(d.asked))
	d.mu.Unlock()

	switch {
	case flood:
		return d.Fail(fmt.Sprintf("%s: sent over %d MiB in answer", doing, limit>>20), err)
	case late(ctx, err) && full:
		d.silence(true)
		return d.Fail(fmt.Sprintf("its queue of connections was full for %v: it does not accept", waited), runtimes.ErrSilent, err)
	case late(ctx, err) && got < silentBelow:
		d.silence(false)
		return d.Fail(fmt.Sprintf("accepted the connection, did not answer %q within %v", doing, waited), runtimes.ErrSilent, err)
	case late(ctx, err):
		return d.Fail(fmt.Sprintf("%s: was still sending after %v and %d bytes", doing, waited, got), err)
	case ctx.Err() != nil:
		return d.Fail(doing+": given up", ctx.Err())
	case dead != nil:
		return d.unreached(dead)
	case closed(err) && got == 0:
		return d.Fail(doing+": closed the connection without an answer", err)
	}
	return d.Fail(fmt.Sprintf("%s: %v", doing, err), err)
}

// Doubt is the error of a request to change something that brought no answer, as
// Explain told it: it may have been heard all the same.
func (d *Dialer) Doubt(err error) error {
	return d.Fail(What(err)+"; it may be done yet: look again before anything else", err)
}

// unreached words a failed connect.
func (d *Dialer) unreached(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return d.Fail("refused: nobody listens on the socket", err)
	case errors.Is(err, fs.ErrNotExist):
		return d.Fail("the socket does not exist", err)
	case errors.Is(err, fs.ErrPermission):
		return d.Fail("may not connect: permission denied", err)
	case len(d.socket) >= len(syscall.RawSockaddrUnix{}.Path):
		return d.Fail("the path is too long for a unix socket", err)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return d.Fail(fmt.Sprintf("connect: %v", op.Err), err)
	}
	return d.Fail(fmt.Sprintf("connect: %v", err), err)
}

func late(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(ctx.Err(), context.DeadlineExceeded)
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// roughly rounds a wait to what a reader wants: "1s", not "1.000837s".
func roughly(wait time.Duration) time.Duration {
	if wait >= time.Second {
		return wait.Round(100 * time.Millisecond)
	}
	return wait.Round(time.Millisecond)
}
