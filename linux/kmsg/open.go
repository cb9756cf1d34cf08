package kmsg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Device is where the kernel gives its log, a record a read.
const Device = "/dev/kmsg"

const (
	largestRecord = 16 << 10  // the kernel's largest is 8 KiB with everything escaped
	mostOfRing    = 256 << 20 // bytes of one pass to the ring's end: 64 times the largest ring that distributions have
	pause         = 1000      // milliseconds without a record after which a pause is told
)

// ErrQuiet is what a following [Log] returns now and then while nothing is written:
// what has been begun may be taken as ended. Call Next again.
var ErrQuiet = errors.New("nothing new")

// ErrEndless is the error of a log into which more is written than can be read.
var ErrEndless = errors.New("the log grows faster than it is read")

// A Lost error tells that the kernel had no room for what was not read in time.
// Reading goes on with the oldest record that is left.
type Lost struct {
	Records uint64 // 0: not known, it was before the first that was read
}

func (l Lost) Error() string {
	if l.Records == 0 {
		return "records were overwritten before they were read"
	}
	return fmt.Sprintf("%d records were overwritten before they were read", l.Records)
}

// A Log is the kernel's log, open. It is used by one goroutine.
type Log struct {
	fd     int
	from   func([]byte) (int, error) // read(2) of fd
	follow bool
	buf    []byte
	passed int    // bytes that were read
	raw    []byte // the last record as it was read; part of buf
	next   int64  // sequence number that comes next; -1 before the first
	gap    bool   // the kernel said that records were lost
}

// Open opens the log at its oldest record; path is that of /dev/kmsg. It changes
// nothing: what is read stays there for others. With follow Next waits at the
// end. The caller closes it.
//
// It needs CAP_SYSLOG where kernel.dmesg_restrict is set. Errors wrap those of open(2).
//
// Source: Linux 6.12 Documentation/ABI/testing/dev-kmsg.
func Open(path string, follow bool) (*Log, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	from := func(p []byte) (int, error) { return unix.Read(fd, p) }
	return &Log{fd: fd, from: from, follow: follow, next: -1, buf: make([]byte, largestRecord)}, nil
}

// Close closes the log.
func (l *Log) Close() error { return unix.Close(l.fd) }

// Next gives the next record. At the log's end it gives io.EOF, or waits. A [Lost]
// comes with the record after the gap; only the kernel's word counts as one,
// since it leaves out numbers without losing anything. A record that cannot be
// parsed gives an error that wraps [ErrFormat]. After these and [ErrQuiet] Next
// can be called again.
func (l *Log) Next(ctx context.Context) (Record, error) {
	for ctx.Err() == nil {
		n, err := l.from(l.buf)
		switch {
		case err == nil && n == 0:
			return Record{}, io.EOF // no device: a file that ends
		case err == nil:
			return l.record(l.buf[:n])
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EPIPE):
			l.gap = true
		case errors.Is(err, unix.EAGAIN) && !l.follow:
			return Record{}, io.EOF
		case errors.Is(err, unix.EAGAIN):
			if err := l.wait(ctx); err != nil {
				return Record{}, err
			}
		default:
			return Record{}, fmt.Errorf("read the kernel log: %w", err)
		}
	}
	return Record{}, ctx.Err()
}

// record parses one record and tells what was lost before it.
func (l *Log) record(raw []byte) (Record, error) {
	if l.passed += len(raw); !l.follow && l.passed > mostOfRing {
		return Record{}, ErrEndless
	}
	l.raw = raw
	r, err := ParseRecord(raw)
	if err != nil {
		return Record{}, err
	}
	lost := Lost{}
	if l.next >= 0 && r.Seq > l.next {
		lost.Records = uint64(r.Seq - l.next)
	}
	gap := l.gap
	l.next, l.gap = r.Seq+1, false
	if gap {
		return r, lost
	}
	return r, nil
}

// wait waits for a record.
func (l *Log) wait(ctx context.Context) error {
	fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, pause)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for the kernel log: %w", err)
	}
	if n == 0 && err == nil {
		return ErrQuiet
	}
	return nil
}
