package dial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// stale leaves a socket behind on which nobody listens.
func stale(t *testing.T) string {
	t.Helper()
	l := runtimestest.Listen(t).(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	l.Close()
	return l.Addr().String()
}

// crowded listens with the shortest queue, fills it and never accepts.
func crowded(t *testing.T) string {
	t.Helper()
	p := runtimestest.Path(t)
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l) })
	if err := errors.Join(unix.Bind(l, &unix.SockaddrUnix{Name: p}), unix.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := net.Dial("unix", p)
		if errors.Is(err, syscall.EAGAIN) {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
}

func TestUnreached(t *testing.T) {
	for _, tt := range []struct {
		name    string
		socket  func(*testing.T) string
		wantErr string
		is      error // of this project
		cause   error
	}{
		{"nobody listens", stale, "refused: nobody listens on the socket", nil, syscall.ECONNREFUSED},
		{"no socket", runtimestestPath, "the socket does not exist", nil, fs.ErrNotExist},
		{"a file", file, "refused: nobody listens", nil, syscall.ECONNREFUSED},
		{"a long path", func(*testing.T) string { return "/" + strings.Repeat("x", 120) }, "the path is too long for a unix socket", nil, syscall.EINVAL},
		{"queue is full", crowded, "its queue of connections was full for ", runtimes.ErrSilent, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			socket := tt.socket(t)
			d := New(runtimes.Docker, socket)
			wait := 20 * time.Second // for what is refused at once, on a machine that is busy
			if tt.is == runtimes.ErrSilent {
				wait = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			d.Begin("ping", SmallReply)
			c, err := d.Dial(ctx)
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
			err = d.Explain(ctx, err)
			t.Log(err)
			if said := d.Said(); len(said) != 1 || said[0].Silent != errors.Is(err, runtimes.ErrSilent) || said[0].Full != said[0].Silent {
				t.Errorf("%+v", said)
			}
			runtimestest.CheckError(t, err, "docker at "+socket+": "+tt.wantErr, tt.is)
			if !errors.Is(err, tt.cause) {
				t.Errorf("%v is not %v", err, tt.cause)
			}
		})
	}
}

func runtimestestPath(t *testing.T) string { return runtimestest.Path(t) }

func file(t *testing.T) string {
	p := runtimestest.Path(t)
	if err := os.WriteFile(p, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// A daemon that was busy and accepts again is reached within the time given.
func TestQueueEmptied(t *testing.T) {
	runtimestest.NoLeaks(t)
	p := runtimestest.Path(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: p}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	waiting, err := net.Dial("unix", p) // fills the queue
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	d := New(runtimes.Docker, p)
	done := make(chan error)
	go func() {
		c, err := d.Dial(t.Context())
		if err == nil {
			c.Close()
		}
		done <- err
	}()
	for !d.isFull() {
		time.Sleep(time.Millisecond)
	}
	c, _, err := unix.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func (d *Dialer) isFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full
}

func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int64 // of each question
		ask   int   // questions
		want  int64 // most that may be read in all
	}{
		{"one question", 1 << 20, 1, 1 << 20},
		{"all together", MaxBytes, 3, MaxBytes},
		{"many small ones", MaxBytes / 4, 9, MaxBytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtimestest.NoLeaks(t)
			d := New(runtimes.CRI, runtimestest.Serve(t, runtimestest.Flood(strings.Repeat("x", 1<<16))))
			var total int64
			var err error
			for range tt.ask {
				d.Begin("list", tt.limit)
				var n int64
				n, err = readUpTo(t, d, tt.limit)
				if total += n; err != nil {
					break
				}
			}
			if !errors.Is(err, errFlood) && tt.limit < MaxBytes {
				_, err = readUpTo(t, d, 1)
			}
			if !errors.Is(err, errFlood) || total > tt.want {
				t.Errorf("%d bytes read, then %v; want errFlood after at most %d", total, err, tt.want)
			}
			runtimestest.CheckError(t, d.Explain(t.Context(), err), fmt.Sprintf("list: sent over %d MiB in answer", tt.limit>>20), nil)
			if first := d.First(); !bytes.Equal(first, []byte("xxxxxxxxx")) {
				t.Errorf("first bytes %q", first)
			}
		})
	}
}

// readUpTo reads by a new connection.
func readUpTo(t *testing.T, d *Dialer, n int64) (int64, error) {
	t.Helper()
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "?"); err != nil {
		return 0, err
	}
	return io.CopyN(io.Discard, c, n)
}

// What a server says before it is asked stays unread, and a Close ends the wait.
func TestNothingUnasked(t *testing.T) {
	runtimestest.NoLeaks(t)
	d := New(runtimes.Docker, runtimestest.Serve(t, runtimestest.Flood("HTTP/1.1 200 OK")))
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("read before a write: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	c.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if first := d.First(); len(first) > 0 {
		t.Errorf("got %q", first)
	}
}

// What a server said before it hung up is known also to a client that only wrote.
func TestHungUpOn(t *testing.T) {
	runtimestest.NoLeaks(t)
	d := New(runtimes.CRI, runtimestest.Serve(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 505 No") }))
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hosttest.Until(t, 20*time.Second, "a write fails", func() bool {
		_, err := io.WriteString(c, "PRI")
		return err != nil
	})
	if first := d.First(); string(first) != "HTTP/1.1 " {
		t.Errorf("first bytes %q", first)
	}
}

func TestExplain(t *testing.T) {
	over, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	stopped, cancel2 := context.WithCancel(t.Context())
	cancel2()
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		err     error
		got     int // bytes
		wantErr string
		is      error
	}{
		{name: "nothing wrong", ctx: t.Context()},
		{name: "silent", ctx: over, err: context.DeadlineExceeded, wantErr: `accepted the connection, did not answer "ping" within `, is: runtimes.ErrSilent},
		{name: "a greeting and silence", ctx: over, err: io.EOF, got: 100, wantErr: `did not answer "ping"`, is: runtimes.ErrSilent},
		{name: "slow", ctx: over, err: io.EOF, got: 5000, wantErr: "ping: was still sending after "},
		{name: "given up", ctx: stopped, err: io.EOF, wantErr: "ping: given up"},
		{name: "hung up", ctx: t.Context(), err: fmt.Errorf("read: %w", syscall.ECONNRESET), wantErr: "ping: closed the connection without an answer"},
		{name: "hung up halfway", ctx: t.Context(), err: io.ErrUnexpectedEOF, got: 5, wantErr: "ping: unexpected EOF"},
		{name: "a long story", ctx: t.Context(), err: errors.New(strings.Repeat("x", 1<<20)), wantErr: "xxx..."},
		{name: "explained already", ctx: over, err: New(runtimes.Docker, "/s").Fail("no"), wantErr: "docker at /s: no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := New(runtimes.Docker, "/s")
			d.Begin("ping", SmallReply)
			d.take(make([]byte, tt.got))
			err := d.Explain(tt.ctx, tt.err)
			t.Log(err)
			runtimestest.CheckError(t, err, tt.wantErr, tt.is)
			if err != nil && (!strings.HasPrefix(err.Error(), "docker at /s: ") || len(err.Error()) > 2*maxText) {
				t.Errorf("%d bytes: %.100s", len(err.Error()), err)
			}
		})
	}
}
