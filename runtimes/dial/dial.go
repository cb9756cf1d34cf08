// Package dial connects to the unix socket of a runtime that may be hung,
// broken or hostile: it bounds what is read and says in words what went wrong.
package dial

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/runtimes"
)

const (
	// MaxBytes bounds what one socket may send in all, over all connections of a
	// [Dialer]. 5,000 containers with 10 KB of labels each are 50 MB.
	MaxBytes = 64 << 20
	// SmallReply bounds, in bytes, a reply that is no list.
	SmallReply = 1 << 20
	// MaxContainers bounds the containers of one answer: bytes alone do not, as
	// a few bytes on the wire become hundreds in memory.
	MaxContainers = 1 << 16
)

// retryFull is how often a full queue of connections is tried again.
const retryFull = 20 * time.Millisecond

var errFlood = errors.New("sends too much")

// A Dialer connects to one socket. It is used for one List and may be used by
// several goroutines.
type Dialer struct {
	kind   runtimes.Kind
	socket string

	mu    sync.Mutex
	doing string    // what was last asked, in words
	asked time.Time // when
	limit int64     // bytes that this question may bring
	got   int64     // bytes that it brought
	total int64     // bytes of all questions
	first []byte    // first bytes of the first connection, at most firstBytes
	met   bool      // a connect succeeded
	full  bool      // the socket's queue of connections is full
	flood bool      // a limit was passed
	dead  error     // of a connect, if none succeeded
	said  []runtimes.Said
}

// firstBytes are kept to tell one protocol from another: an HTTP/2 frame
// header (RFC 9113 section 4.1).
const firstBytes = 9

// New returns a Dialer for the socket at a path. It does not connect.
func New(kind runtimes.Kind, socket string) *Dialer {
	return &Dialer{kind: kind, socket: socket, limit: SmallReply, asked: time.Now()}
}

// Begin says what is asked from now on and how many bytes may come for it.
func (d *Dialer) Begin(doing string, limit int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took()
	d.doing, d.limit, d.got, d.asked = doing, limit, 0, time.Now()
	d.said = append(d.said, runtimes.Said{Question: doing})
}

// took ends the question that was last begun. The caller holds mu.
func (d *Dialer) took() {
	if n := len(d.said); n > 0 && d.said[n-1].Took == 0 {
		d.said[n-1].Took = time.Since(d.asked).Round(time.Millisecond)
	}
}

// silence notes that the last question got no answer.
func (d *Dialer) silence(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.said); n > 0 {
		d.took()
		d.said[n-1].Silent, d.said[n-1].Full = true, full
	}
}

// Said returns how each question went. The last is over now, if it was not before.
func (d *Dialer) Said() []runtimes.Said {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took()
	return append([]runtimes.Said(nil), d.said...)
}

// First returns the first bytes that the socket ever sent, at most 9.
func (d *Dialer) First() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]byte(nil), d.first...)
}

// Dial connects. The connection is for protocols in which the client speaks
// first: a Read waits for the first Write. A full queue of connections is tried again until the context
// ends: a busy daemon empties it, a stopped one never does.
//
// Source: connect(2), EAGAIN; Linux 6.12 net/unix/af_unix.c, unix_stream_connect.
func (d *Dialer) Dial(ctx context.Context) (net.Conn, error) {
	for {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "unix", d.socket)
		if err == nil {
			d.connected()
			return &conn{Conn: c, d: d, asked: make(chan struct{})}, nil
		}
		// The end of the time says nothing of the socket: what is known of it stays.
		// The dialer may notice it before the context does.
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		d.refused(err)
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		wait := time.NewTimer(retryFull)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

// DialAny is [Dialer.Dial] for HTTP clients: whatever address they ask for, the
// connection is to the socket.
func (d *Dialer) DialAny(ctx context.Context, _, _ string) (net.Conn, error) { return d.Dial(ctx) }

func (d *Dialer) connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.met, d.full, d.dead = true, false, nil
}

// refused keeps why the first connect failed. Of a socket that was connected to
// once, the story of that connection is the better one.
func (d *Dialer) refused(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = errors.Is(err, syscall.EAGAIN)
	if !d.met && !d.full {
		d.dead = err
	}
}

// A conn counts what it reads, and reads nothing before it has written: net/http
// logs what a server says unasked, and this is no place for a daemon's words.
//
// Source: Go 1.26 net/http/transport.go, readLoopPeekFailLocked.
type conn struct {
	net.Conn
	d     *Dialer
	once  sync.Once
	asked chan struct{} // closed by the first Write, or Close
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.once.Do(func() { close(c.asked) })
	if err != nil {
		c.peek()
	}
	return n, err
}

// peek notes what the server said before the hang-up that a Write ran into: a
// client that fails in writing may never read it.
func (c *conn) peek() {
	u, ok := c.Conn.(*net.UnixConn)
	if !ok {
		return
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return // closed by this side: nothing more to learn
	}
	var said [firstBytes]byte
	var n int
	var peekErr error
	err = raw.Control(func(fd uintptr) {
		n, _, peekErr = unix.Recvfrom(int(fd), said[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	if err == nil && peekErr == nil && n > 0 {
		c.d.greeted(said[:n])
	}
}

func (c *conn) Close() error {
	err := c.Conn.Close() // first, so that a waiting Read finds it closed
	c.once.Do(func() { close(c.asked) })
	return err
}

func (c *conn) Read(p []byte) (int, error) {
	<-c.asked
	n, err := c.Conn.Read(p)
	if n > 0 && !c.d.take(p[:n]) {
		c.Conn.Close()
		return 0, errFlood
	}
	return n, err
}

// greeted notes the first bytes unless some were read.
func (d *Dialer) greeted(said []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.first) == 0 {
		d.first = append(d.first, said...)
	}
}

// take counts bytes and reports whether they are within the bounds.
func (d *Dialer) take(p []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if room := firstBytes - len(d.first); room > 0 {
		d.first = append(d.first, p[:min(room, len(p))]...)
	}
	d.got += int64(len(p))
	d.total += int64(len(p))
	if d.got > d.limit || d.total > MaxBytes {
		d.flood = true
	}
	return !d.flood
}
