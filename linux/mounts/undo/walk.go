package undo

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/nsfs"
)

// A place is a name in an open directory.
type place struct {
	parent int // O_PATH
	name   string
}

func (p place) close() { unix.Close(p.parent) }

// walk opens the directory above path, from the root of the mount namespace that
// the thread is in. No symbolic link is followed, so that whoever may write to a
// directory on the way cannot lead it elsewhere.
func walk(path string) (place, error) {
	at := strings.LastIndexByte(path, '/')
	p := place{parent: -1, name: path[at+1:]}
	if at < 0 || p.name == "" { // the kernel gives no path, or "/"
		return p, unix.ENOENT
	}
	var err error
	if p.parent, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return p, err
	}
	for rest := strings.TrimPrefix(path[:at], "/"); rest != ""; {
		var part string
		part, rest = cut(rest)
		next, err := step(p.parent, part)
		unix.Close(p.parent)
		if p.parent = next; err != nil {
			return p, err
		}
	}
	return p, nil
}

// cut cuts off as much of a path as one call takes: the kernel writes longer ones
// than it reads.
func cut(path string) (part, rest string) {
	const most = 2048
	if len(path) <= most {
		return path, ""
	}
	at := strings.LastIndexByte(path[:most], '/')
	return path[:at], path[at+1:]
}

// step opens what lies below a directory. Where all is in memory no server is
// asked; else, and before Linux 5.12, it goes from name to name, which may wait
// for one.
func step(dir int, path string) (int, error) {
	fd, err := nsfs.OpenCachedAt(dir, path+"/") // else a link at the end would be opened itself
	if !unanswered(err) {
		return fd, err
	}
	at := dir
	for name := range strings.SplitSeq(path, "/") {
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if at != dir {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// open opens the place itself: the root of the topmost mount there, or the plain
// file or directory.
func (p place) open() (int, error) {
	fd, err := nsfs.OpenCachedAt(p.parent, p.name)
	if unanswered(err) {
		fd, err = unix.Openat(p.parent, p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// unanswered tells the errors of a look into memory alone that leave the question
// open: not all of it is there, or this kernel has no such call.
func unanswered(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}
