// Package door is the only way in which collect sees a host.
//
// A live host, a host that is being recorded and a recording are read through
// the same four calls, so a recording holds exactly what a scan read, and
// kernel text is the fixture of the tests.
package door

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// A Door gives what one look at a host needs. All paths are absolute and those
// of the host itself ("/proc/1/stat"), wherever its files really are. Errors
// are those of the system call and can be tested with errors.Is against
// [fs.ErrNotExist], [fs.ErrPermission], [syscall.Errno] values and [ErrDeadline],
// from a recording as well. A Door may be used by several goroutines.
type Door interface {
	// ReadFile returns the whole of a kernel file, at most [MaxFile] bytes.
	ReadFile(path string) ([]byte, error)
	// ReadLink returns the text of a symbolic link without following it.
	ReadLink(path string) (string, error)
	// ReadDir returns the names in a directory, in the kernel's order.
	ReadDir(path string) ([]string, error)
	// Ask returns what live returns, under a name that a recording finds it by.
	// It is for all that is not a plain file: an answer of a runtime, a read
	// that may block. On a recording live is not called.
	Ask(name string, live func() ([]byte, error)) ([]byte, error)
	// Taken is when this look began, by the host's clock.
	Taken() time.Time
}

// Unrecorded reports whether nobody keeps what is read through d, so that an
// answer to [Door.Ask] need not be made of bytes.
func Unrecorded(d Door) bool {
	_, live := d.(*Live)
	return live
}

// MaxFile bounds what one file may hold. A mount table of 40,000 mounts is 8 MB.
const MaxFile = 64 << 20

var (
	// ErrDeadline is the error of a read that did not end in time.
	ErrDeadline = errors.New("no answer in time")
	// ErrTooLarge is the error of a file, answer or recording that passes its bound.
	ErrTooLarge = errors.New("too large")
	// ErrNotRecorded is the error of a path that the recording does not have.
	// It is "cannot tell", never "does not exist".
	ErrNotRecorded = errors.New("not in the recording")
)

// An Error is a failed read, live or recorded.
type Error struct {
	Op   string // read, readlink, readdir, ask
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause: a [syscall.Errno] or one of this package's errors.
func (e *Error) Unwrap() error { return e.Err }

// Gone reports whether the error means that what was read has vanished, as
// processes do at any moment: it is normal and no lack of knowledge.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
