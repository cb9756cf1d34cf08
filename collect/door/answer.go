package door

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A question is what a look was asked.
type question struct{ op, path string }

// An answer is what came back. Only a directory has names; the text of a link
// is data. After recordable and from a recording, err is nil or an *[Error].
type answer struct {
	data  []byte
	names []string
	err   error
}

// recordable gives err the form that a recording gives back, so that whoever
// records acts on the same error as whoever replays.
func recordable(q question, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok && e.Op == q.op && e.Path == q.path {
		err = e.Err
	}
	text, errno, is := describe(err)
	return &Error{q.op, q.path, revive(text, errno, is)}
}

// maxErrText bounds a recorded error: a tar reader takes no more than 1 MiB of
// extended header.
const maxErrText = 64 << 10

// sentinels are the errors that a recording keeps by name.
var sentinels = []struct {
	name string
	err  error
}{
	{"deadline", ErrDeadline},
	{"too-large", ErrTooLarge},
	{"not-recorded", ErrNotRecorded},
	{"secret", ErrSecret},
	{"not-mounted", ErrNotMounted},
	{"not-exist", fs.ErrNotExist},
	{"permission", fs.ErrPermission},
	{"exist", fs.ErrExist},
	{"invalid", fs.ErrInvalid},
	{"closed", fs.ErrClosed},
	{"context-deadline", context.DeadlineExceeded},
	{"context-canceled", context.Canceled},
	{"io-deadline", os.ErrDeadlineExceeded},
	{"eof", io.EOF},
	{"unexpected-eof", io.ErrUnexpectedEOF},
}

// describe turns err into its text, its errno by name ("" if it has none) and
// the names of the sentinels that it is, beyond those that the errno is.
func describe(err error) (text, errno string, is []string) {
	text = err.Error()
	if len(text) > maxErrText {
		text = text[:maxErrText]
	}
	no, ok := errors.AsType[syscall.Errno](err)
	if ok && no != 0 {
		if errno = unix.ErrnoName(no); errno == "" {
			errno = strconv.FormatUint(uint64(no), 10)
		}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) && !(errno != "" && errors.Is(no, s.err)) {
			is = append(is, s.name)
		}
	}
	return text, errno, is
}

// revive is the other way of describe. Names that this version does not know
// are left out: the text still tells.
func revive(text, errno string, is []string) error {
	var causes []error
	if no, ok := errnoOf(errno); ok {
		causes = append(causes, no)
	}
	for _, name := range is {
		for _, s := range sentinels {
			if s.name == name {
				causes = append(causes, s.err)
			}
		}
	}
	if len(causes) == 1 && causes[0].Error() == text {
		return causes[0]
	}
	return &revived{text, causes}
}

// A revived error reads and tests like the one that was recorded.
type revived struct {
	text   string
	causes []error
}

func (e *revived) Error() string   { return e.text }
func (e *revived) Unwrap() []error { return e.causes }

// errnos is by name, since numbers differ between architectures.
var errnos = sync.OnceValue(func() map[string]syscall.Errno {
	byName := map[string]syscall.Errno{}
	for no := syscall.Errno(1); no < 4096; no++ {
		if name := unix.ErrnoName(no); name != "" {
			byName[name] = no
		}
	}
	return byName
})

func errnoOf(name string) (syscall.Errno, bool) {
	if no, ok := errnos()[name]; ok {
		return no, true
	}
	if !strings.HasPrefix(name, "E") {
		if no, err := strconv.ParseUint(name, 10, 31); err == nil && no != 0 {
			return syscall.Errno(no), true
		}
	}
	return 0, false
}
