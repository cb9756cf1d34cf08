package door

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/inroot"
)

// ErrNotMounted is the error of all that is below /sys where the host's sysfs
// is not there to be read: nothing is known of it, and it may well exist.
var ErrNotMounted = errors.New("not mounted below this root")

// Live is the [Door] of a running host. Each read is an open, a read and a
// close relative to a held descriptor, without the poller and without a stat.
type Live struct {
	host  *host
	taken time.Time
}

// host is what all looks of one Live share.
type host struct {
	proc, sys tree
	closed    atomic.Bool

	begun, ended atomic.Int64 // reads
}

// A tree is /proc or /sys of the host.
type tree struct {
	fd     int   // O_PATH; -1 if err is set
	kernel bool  // it is procfs or sysfs itself
	scoped bool  // openat2 keeps every walk inside the tree; always, unless kernel
	err    error // why it cannot be read
}

// Open opens the host whose root directory is root, and begins its first look.
// If proc is not "", the host's /proc is there, else at root/proc. What is
// found there must be a proc file system or a directory made like one, with at
// least one process; root/sys may be missing ([ErrNotMounted] then).
//
// The links "proc" and "sys" in root are not followed, nor is any link that
// leads out of the two: /host never turns into the container's own root.
//
// Sources: openat2(2), kernel 5.6; Linux 6.12 fs/proc/base.c, fs/sysfs.
func Open(root, proc string) (*Live, error) {
	h := &host{}
	var err error
	if proc == "" {
		h.proc, err = openTree(root, "proc", unix.PROC_SUPER_MAGIC)
	} else {
		h.proc, err = openTree(proc, "", unix.PROC_SUPER_MAGIC)
	}
	if err != nil {
		return nil, err
	}
	h.sys, err = openTree(root, "sys", unix.SYSFS_MAGIC)
	if err != nil {
		// Not %w: "does not exist" would read as an answer about the host.
		h.sys = tree{fd: -1, err: fmt.Errorf("%w: %v", ErrNotMounted, err)}
	}
	l := &Live{host: h}
	if err := h.check(l); err != nil {
		l.Close()
		return nil, err
	}
	l.taken = now()
	return l, nil
}

// now is the wall clock alone: a recording has no other.
func now() time.Time { return time.Now().UTC().Round(0) }

// openTree opens dir/name, or dir if name is "", and looks what it is.
func openTree(dir, name string, magic int64) (tree, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	full := dir
	fd, err := openat(unix.AT_FDCWD, dir, flags)
	if err == nil && name != "" {
		full = dir + "/" + name
		parent := fd
		fd, err = openat(parent, name, flags|unix.O_NOFOLLOW)
		unix.Close(parent)
	}
	if err != nil {
		return tree{}, fmt.Errorf("open %s: %w", full, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		unix.Close(fd)
		return tree{}, fmt.Errorf("statfs %s: %w", full, err)
	}
	t := tree{fd: fd, kernel: int64(st.Type) == magic}
	if t.kernel && magic == unix.PROC_SUPER_MAGIC {
		return t, nil // openat2 would make each read a third slower
	}
	// Kernels before 5.6 and old seccomp profiles do not have openat2.
	probe, err := inroot.OpenBeneath(fd, ".", unix.O_PATH)
	if err == nil {
		unix.Close(probe)
		t.scoped = true
	} else if !t.kernel {
		unix.Close(fd)
		return tree{}, fmt.Errorf("open %s: no proc or sysfs is mounted there, and to read a copy safely takes openat2 (kernel 5.6): %w", full, err)
	}
	return t, nil
}

// check tells an empty mount point from a host.
func (h *host) check(l *Live) error {
	if !h.proc.kernel {
		names, err := l.ReadDir("/proc")
		if err != nil {
			return err
		}
		found := false
		for _, name := range names {
			found = found || number(name)
		}
		if !found {
			return &Error{opDir, "/proc", fmt.Errorf("no process in it: %w", ErrNotMounted)}
		}
	}
	if h.sys.err == nil && !h.sys.kernel {
		if names, err := l.ReadDir("/sys"); err == nil && len(names) == 0 {
			unix.Close(h.sys.fd)
			h.sys = tree{fd: -1, err: ErrNotMounted}
		}
	}
	return nil
}

// Look begins another look at the same host. It shares the descriptors of l.
func (l *Live) Look() Door { return &Live{host: l.host, taken: now()} }

// Close releases what all looks of this host share. No read may be under way.
func (l *Live) Close() error {
	if l.host.closed.Swap(true) {
		return nil
	}
	err := unix.Close(l.host.proc.fd)
	if l.host.sys.fd >= 0 {
		err = errors.Join(err, unix.Close(l.host.sys.fd))
	}
	return err
}

// Reads says how many reads of this host are under way, and how many have ended. Where
// one is and the other does not grow, the kernel does not return.
func (l *Live) Reads() (underWay, ended int64) {
	ended = l.host.ended.Load()
	return max(0, l.host.begun.Load()-ended), ended
}

// Taken implements [Door].
func (l *Live) Taken() time.Time { return l.taken }

// Ask implements [Door]: it calls live.
func (l *Live) Ask(name string, live func() ([]byte, error)) ([]byte, error) {
	if err := refuse(opAsk, name); err != nil {
		return nil, &Error{opAsk, name, err}
	}
	data, err := live()
	if err != nil {
		return data, wrap(opAsk, name, err)
	}
	return data, nil
}

// wrap makes err an [Error] of this operation, once.
func wrap(op, path string, err error) error {
	if e, ok := err.(*Error); ok && e.Op == op && e.Path == path {
		return e
	}
	return &Error{op, path, err}
}

// ReadFile implements [Door]. Passwords in a mountinfo are masked.
func (l *Live) ReadFile(path string) ([]byte, error) {
	l.host.begun.Add(1)
	defer l.host.ended.Add(1)
	fd, err := l.open(opRead, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, &Error{opRead, path, err}
	}
	defer unix.Close(fd)
	buf := takeBuffer()
	// A stat is one record: the kernel gives it whole, so less than was asked is all.
	n, err := readAll(fd, buf, strings.HasSuffix(path, "/stat"))
	if err != nil {
		buf.giveBack()
		return nil, &Error{opRead, path, err}
	}
	var text []byte
	if n > keepBuffer {
		text = buf.bytes[:n:n] // a copy would be as large again
	} else {
		text = append(make([]byte, 0, n), buf.bytes[:n]...)
		buf.giveBack()
	}
	return maskFile(path, text), nil
}

func readAll(fd int, buf *buffer, single bool) (int, error) {
	n := 0
	for {
		if n == len(buf.bytes) {
			buf.grow()
		}
		more, err := unix.Read(fd, buf.bytes[n:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case more == 0:
			return n, nil
		default:
			if n += more; n > MaxFile {
				return 0, ErrTooLarge
			}
			if single && n < len(buf.bytes) {
				return n, nil
			}
		}
	}
}

// ReadLink implements [Door].
func (l *Live) ReadLink(path string) (string, error) {
	l.host.begun.Add(1)
	defer l.host.ended.Add(1)
	t, rel, err := l.place(opLink, path)
	if err != nil {
		return "", &Error{opLink, path, err}
	}
	dir := t.fd
	if t.scoped {
		parent, base := ".", rel
		if i := strings.LastIndexByte(rel, '/'); i >= 0 {
			parent, base = rel[:i], rel[i+1:]
		}
		if dir, err = t.open(parent, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return "", &Error{opLink, path, err}
		}
		defer unix.Close(dir)
		rel = base
	}
	buf := takeBuffer()
	defer buf.giveBack()
	for {
		n, err := unix.Readlinkat(dir, rel, buf.bytes)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return "", &Error{opLink, path, err}
		case n < len(buf.bytes):
			return string(buf.bytes[:n]), nil
		case n > keepBuffer:
			return "", &Error{opLink, path, ErrTooLarge}
		default:
			buf.grow()
		}
	}
}

// ReadDir implements [Door].
func (l *Live) ReadDir(path string) ([]string, error) {
	l.host.begun.Add(1)
	defer l.host.ended.Add(1)
	fd, err := l.open(opDir, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &Error{opDir, path, err}
	}
	defer unix.Close(fd)
	buf := takeBuffer()
	defer buf.giveBack()
	var names []string
	for total := 0; ; {
		n, err := unix.Getdents(fd, buf.bytes)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return nil, &Error{opDir, path, err}
		case n == 0:
			return names, nil
		}
		if total += n; total > MaxFile {
			return nil, &Error{opDir, path, ErrTooLarge}
		}
		_, _, names = unix.ParseDirent(buf.bytes[:n], -1, names)
	}
}

// place returns the tree that path is in and its name there.
func (l *Live) place(op, path string) (tree, string, error) {
	if err := refuse(op, path); err != nil {
		return tree{}, "", err
	}
	if l.host.closed.Load() {
		return tree{}, "", fs.ErrClosed
	}
	t, rel := l.host.proc, path[1:]
	if rel[0] == 's' {
		t, rel = l.host.sys, rel[len("sys"):]
	} else {
		rel = rel[len("proc"):]
	}
	if t.err != nil {
		return tree{}, "", t.err
	}
	if rel == "" {
		return t, ".", nil
	}
	return t, rel[1:], nil
}

func (l *Live) open(op, path string, flags int) (int, error) {
	t, rel, err := l.place(op, path)
	if err != nil {
		return -1, err
	}
	return t.open(rel, flags)
}

// open opens rel in the tree. A plain walk stays inside: links in procfs and
// sysfs are the kernel's own and relative, and refuse lets no path go on behind
// a magic one.
func (t tree) open(rel string, flags int) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW
	if t.scoped {
		return inroot.OpenBeneath(t.fd, rel, uint64(flags))
	}
	return openat(t.fd, rel, flags)
}

func openat(dir int, rel string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, rel, flags, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

// keepBuffer is the largest buffer that waits for another read.
const keepBuffer = 1 << 20

// A buffer is where a read goes before its size is known.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 16<<10)} }}

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) giveBack() {
	if len(b.bytes) <= keepBuffer {
		buffers.Put(b)
	}
}

func (b *buffer) grow() {
	larger := make([]byte, min(2*len(b.bytes), MaxFile+1))
	copy(larger, b.bytes)
	b.bytes = larger
}
