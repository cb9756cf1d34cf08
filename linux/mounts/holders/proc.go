// Package holders finds in /proc who keeps mounts and mount namespaces: open
// files, working directories, mappings; processes, threads, bound files.
//
// What is in flight in a socket has no name in /proc: only the sockets are found in which something is.
package holders

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/timeslice"
)

// A walker goes through the processes of one /proc.
type walker struct {
	ctx     context.Context
	proc    int    // the directory, O_PATH
	self    int    // our own number there, 0 if it shows us not
	sameIDs bool   // its numbers are those of our own PID namespace
	blind   bool   // it was said that threads cannot be compared
	buf     []byte // for links
	named   []byte // see name
	text    []byte // see read
	dirents []byte
	unknown []mounts.Unknown
	slice   timeslice.Slice
}

// Bounds of what one process may make us read.
const (
	maxLink   = 64 << 10
	maxFDInfo = 4 << 20
)

func newWalker(ctx context.Context, proc string) (*walker, error) {
	fd, err := unix.Open(proc, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: proc, Err: err}
	}
	w := &walker{ctx: ctx, proc: fd, buf: make([]byte, 4096), text: make([]byte, 4096), dirents: make([]byte, 16<<10)}
	if self, err := w.link("self"); err == nil {
		w.self, _ = strconv.Atoi(self)
		w.sameIDs = w.self == unix.Getpid()
	}
	return w, nil
}

func (w *walker) close() { unix.Close(w.proc) }

// Gone reports whether the error says that a process, thread or descriptor
// ended while it was looked at, as they do at any moment.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// denied notes what could not be read, and passes over what has ended.
func (w *walker) denied(what string, err error) {
	if err != nil && !Gone(err) && w.ctx.Err() == nil {
		w.unknown = append(w.unknown, mounts.Unknown{What: what, Why: err.Error()})
	}
}

// processes calls visit with these pids, nil for all, until ctx ends.
func (w *walker) processes(pids []int, visit func(pid int)) error {
	if pids == nil {
		var err error
		if pids, err = w.numbers("."); err != nil {
			return fmt.Errorf("list the processes: %w", err)
		}
	}
	for _, pid := range pids {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		w.slice.Yield()
		visit(pid)
	}
	return nil
}

// threads lists the threads of a process, its first one first. Most have one
// only, and then the folder of threads has three links.
//
// Source: Linux 6.12 fs/proc/base.c, proc_task_getattr.
func (w *walker) threads(pid int) ([]int, error) {
	dir := strconv.Itoa(pid) + "/task"
	var stat unix.Stat_t
	if err := unix.Fstatat(w.proc, dir, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	if stat.Nlink == 2+1 {
		return []int{pid}, nil
	}
	return w.numbers(dir)
}

// numbers lists the names in a directory of /proc that are numbers.
func (w *walker) numbers(dir string) ([]int, error) {
	fd, err := w.open(dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return w.numbersIn(fd, dir)
}

func (w *walker) numbersIn(fd int, dir string) ([]int, error) {
	var numbers []int
	err := w.entries(fd, dir, func(entries []byte) { numbers = appendNumbers(numbers, entries) })
	return numbers, err
}

// open opens a directory of /proc to list it, and to name its files from it:
// the shorter the way to a file, the less it costs.
func (w *walker) open(dir string) (int, error) {
	fd, err := unix.Openat(w.proc, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

// namesIn lists a directory, without the stat that os.ReadDir may do.
func (w *walker) namesIn(fd int, dir string) (names []string, err error) {
	err = w.entries(fd, dir, func(entries []byte) { _, _, names = unix.ParseDirent(entries, -1, names) })
	return names, err
}

// entries calls visit with pieces of a directory, of whole entries.
func (w *walker) entries(fd int, dir string, visit func([]byte)) error {
	for {
		n, err := unix.Getdents(fd, w.dirents)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "getdents", Path: dir, Err: err}
		}
		if n == 0 {
			return nil
		}
		visit(w.dirents[:n])
	}
}

// appendNumbers appends the names that are numbers of processes, threads or
// descriptors, which are below 2^31: /proc has few others. Of entries that are not as
// documented it takes those before.
//
// Source: getdents64(2), struct linux_dirent64.
func appendNumbers(numbers []int, entries []byte) []int {
	const atLength, atName = 16, 19
	for len(entries) > atName {
		length := int(binary.NativeEndian.Uint16(entries[atLength:]))
		if length <= atName || length > len(entries) {
			break
		}
		name, _, _ := bytes.Cut(entries[atName:length], []byte{0})
		if n, err := strconv.ParseUint(string(name), 10, 31); err == nil {
			numbers = append(numbers, int(n))
		}
		entries = entries[length:]
	}
	return numbers
}

// What kcmp compares. Source: Linux 6.12 include/uapi/linux/kcmp.h.
const (
	kcmpFiles = 2
	kcmpFS    = 3
)

// shares reports whether a thread has the table of one of these threads. If
// that cannot be told, it is taken for shared and said to be unknown. A process of
// thousands of threads that all have their own takes minutes: ctx ends it.
//
// Source: kcmp(2), which takes the numbers of the caller's own PID namespace.
func (w *walker) shares(what int, with []int, tid int) bool {
	if w.ctx.Err() != nil {
		return true
	}
	for _, other := range with {
		errno := unix.EINVAL
		var differ uintptr
		if w.sameIDs {
			differ, _, errno = unix.Syscall6(unix.SYS_KCMP, uintptr(other), uintptr(tid), uintptr(what), 0, 0, 0)
		}
		if errno != 0 && errno != unix.ESRCH && !w.blind {
			w.blind = true
			w.denied("threads with open files or directories of their own", fmt.Errorf("kcmp: %w", errno))
		}
		if errno != 0 || differ == 0 {
			return true
		}
	}
	return false
}

// link reads the text of a link and follows nothing.
func (w *walker) link(path string) (string, error) {
	text, err := w.linkAt(place{w.proc, "", w.name(path, "")})
	return string(text), err
}

// linkAt is link, into a buffer that is used again.
func (w *walker) linkAt(at place) ([]byte, error) {
	for {
		n, errno := readlink(at, w.buf)
		if errno != 0 {
			return nil, &fs.PathError{Op: "readlink", Path: at.path(), Err: errno}
		}
		if n < len(w.buf) || n >= maxLink {
			return w.buf[:n], nil
		}
		w.buf = make([]byte, 2*len(w.buf))
	}
}

// read reads a file of /proc, and at most limit bytes of it, into a buffer that is used
// again: a process may have a hundred thousand sockets, each with a text.
func (w *walker) read(path string, limit int) ([]byte, error) {
	fd, err := unix.Openat(w.proc, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	text := w.text[:0]
	defer func() { w.text = text }()
	for len(text) < limit {
		if len(text) == cap(text) {
			text = append(text, make([]byte, len(text))...)[:len(text)]
		}
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		text = text[:len(text)+n]
	}
	return text, nil
}
