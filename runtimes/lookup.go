package runtimes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	maxLinks = 40   // symbolic links in one path, as the kernel's MAXSYMLINKS
	maxNames = 1024 // names read of one directory
)

var errForeign = errors.New("below a mount that may wait for another machine, a user's process or an automount")

// A lookup resolves paths below root step by step.
//
// openat2 with RESOLVE_IN_ROOT would keep a link from leaving root too, but it
// walks the whole path at once: a link that leads onto a dead NFS mount or an
// automount hangs or wakes it before anybody has seen its text.
type lookup struct {
	root   string // absolute and clean
	mounts []mount
}

// An entry is what lstat says of a path.
type entry struct {
	mode     uint32
	dev, ino uint64
}

func newLookup(root string, mounts []mount) *lookup {
	return &lookup{root: path.Clean("/" + root), mounts: mounts}
}

// find resolves an absolute path inside root. It returns the path as this
// process opens it, without symbolic links, and what is there. Errors are those
// of lstat, ELOOP, or errForeign.
func (l *lookup) find(p string) (string, entry, error) {
	done, _, last, err := l.walk(p)
	if err != nil {
		return "", entry{}, err
	}
	return path.Join(l.root, done), last, nil
}

// Follow gives an absolute path inside root as mount tables have it: without
// symbolic links, as far as it is there and a walk waits for nobody.
func Follow(root, p string) (string, error) {
	mounts, err := readMounts()
	if err != nil {
		return p, err
	}
	done, rest, _, _ := newLookup(root, mounts).walk(p) // what cannot be walked stays as it is
	return path.Join("/", done, path.Join(rest...)), nil
}

// walk follows a path below root, "" being root itself. With an error, rest is
// what it did not come to.
func (l *lookup) walk(p string) (done string, rest []string, last entry, err error) {
	todo := names(p)
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == "." {
			continue
		}
		if name == ".." {
			done = strings.TrimSuffix(path.Dir("/"+done), "/")
			continue
		}
		next := done + "/" + name
		at := path.Join(l.root, next)
		rest = slices.Concat([]string{name}, todo)
		if foreign(l.mounts, at) {
			return done, rest, entry{}, fmt.Errorf("%s: %w", at, errForeign)
		}
		if last, err = lstat(at); err != nil {
			return done, rest, entry{}, fmt.Errorf("lstat %s: %w", at, err)
		}
		if last.mode&unix.S_IFMT != unix.S_IFLNK {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return done, rest, entry{}, fmt.Errorf("%s: %w", at, syscall.ELOOP)
		}
		target, err := os.Readlink(at)
		if err != nil {
			return done, rest, entry{}, err
		}
		if path.IsAbs(target) {
			done = ""
		}
		todo = slices.Concat(names(target), todo)
	}
	return done, nil, last, nil
}

func names(p string) []string {
	return strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
}

// lstat asks for the type and the identity of a path, and neither wakes an
// automount nor asks a server for news.
//
// Source: statx(2), Linux 4.11; fstatat(2) before that (RHEL 7).
func lstat(p string) (entry, error) {
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	var x unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, p, flags|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &x)
	if err == nil {
		return entry{uint32(x.Mode), unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino}, nil
	}
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) { // EPERM: an old container's seccomp filter
		return entry{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(unix.AT_FDCWD, p, &st, flags); err != nil {
		return entry{}, err
	}
	return entry{st.Mode, uint64(st.Dev), st.Ino}, nil
}

// users replaces a * in the path by each numeric name that is in its place. A path
// without one is returned as it is.
func (l *lookup) users(p string) []string {
	before, after, ok := strings.Cut(p, "*")
	if !ok {
		return []string{p}
	}
	var uids []int
	for _, name := range l.list(before) {
		if uid, err := strconv.ParseUint(name, 10, 31); err == nil {
			uids = append(uids, int(uid))
		}
	}
	slices.Sort(uids)
	var all []string
	for _, uid := range uids {
		all = append(all, before+strconv.Itoa(uid)+after)
	}
	return all
}

// list returns the names in a directory, at most maxNames, sorted. One that
// cannot be read has none.
func (l *lookup) list(dir string) []string {
	f, err := l.open(dir, unix.S_IFDIR)
	if err != nil {
		return nil
	}
	defer f.Close()
	found, err := f.Readdirnames(maxNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	slices.Sort(found)
	return found
}

// read returns the bytes of a regular file of at most size bytes.
func (l *lookup) read(p string, size int64) ([]byte, error) {
	f, err := l.open(p, unix.S_IFREG)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > size {
		return nil, fmt.Errorf("%s: over %d bytes", p, size)
	}
	return b, nil
}

// open opens what find resolves, if it is of the type given, then and now: a
// fifo in its place would block a reader, a device may do anything.
func (l *lookup) open(p string, kind uint32) (*os.File, error) {
	at, e, err := l.find(p)
	if err != nil {
		return nil, err
	}
	if e.mode&unix.S_IFMT != kind {
		return nil, fmt.Errorf("%s: of another type", at)
	}
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != kind {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: changed while it was opened", at)
	}
	return os.NewFile(uintptr(fd), at), nil
}
