package census

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/nsfs"
)

// Bounds of this way.
const (
	maxTable = 64 << 20 // of one mountinfo; 40,000 mounts are 8 MB
	maxAsked = 4        // processes of one namespace
)

// A slowReader reads mountinfo, once for each namespace that a process, a
// thread, a descriptor or a bound file leads to.
type slowReader struct {
	req     Request
	proc    int // the directory, O_PATH
	found   map[uint64]mounts.Namespace
	unknown []mounts.Unknown

	wanted uint64 // inode of the namespace whose file is to stay open, in opened; 0 for none
	opened int
}

func newSlowReader(req Request) (*slowReader, error) {
	proc, err := unix.Open(req.Proc, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: req.Proc, Err: err}
	}
	return &slowReader{req: req, proc: proc}, nil
}

func (r *slowReader) close() { unix.Close(r.proc) }

func (r *slowReader) blind(what string, err error) {
	if err != nil && !holders.Gone(err) {
		r.unknown = append(r.unknown, mounts.Unknown{What: what, Why: err.Error()})
	}
}

// pass reads every namespace that can be found.
func (r *slowReader) pass(ctx context.Context) ([]mounts.Namespace, error) {
	pins, unknown, err := holders.Pins(ctx, holders.PinRequest{Proc: r.req.Proc, Descriptors: true})
	if err != nil {
		return nil, err
	}
	r.found = map[uint64]mounts.Namespace{}
	r.unknown = unknown
	for inode, of := range pins {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fd, err := r.open(inode, of)
		if err != nil {
			r.blind(fmt.Sprintf("mnt:[%d]", inode), err)
			continue
		}
		r.take(ctx, fd, inode, of)
		unix.Close(fd)
	}
	byInode := func(a, b mounts.Namespace) int { return cmp.Compare(a.Inode, b.Inode) }
	return slices.SortedFunc(maps.Values(r.found), byInode), ctx.Err()
}

// take reads a namespace, and those whose files are bound in it.
func (r *slowReader) take(ctx context.Context, fd int, inode uint64, pins []holders.Pin) {
	if _, ok := r.found[inode]; ok || ctx.Err() != nil {
		return
	}
	if inode == r.wanted {
		r.opened, _ = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	ns := mounts.Namespace{Inode: inode}
	ns.ID, _ = nsfs.ID(fd) // 0 says that this kernel has none
	if r.req.About == nil {
		ns.Owner, _ = nsfs.Owner(fd) // 0 says that it is not known
	}
	var err error
	if ns.Mounts, err = r.table(fd, pins); err != nil {
		r.blind(fmt.Sprintf("mounts of mnt:[%d]", inode), err)
		return
	}
	r.found[inode] = ns
	for i := range ns.Mounts {
		m := &ns.Mounts[i]
		bound, ok := mounts.BoundNamespace(m)
		if _, known := r.found[bound]; !ok || known {
			continue
		}
		other, err := r.openBound(fd, m.MountPoint, bound)
		if err != nil {
			r.blind(fmt.Sprintf("mnt:[%d], which is bound at %q in mnt:[%d]", bound, m.MountPoint, inode), err)
			continue
		}
		r.take(ctx, other, bound, nil)
		unix.Close(other)
	}
}

// open opens the file of a namespace by what leads to it.
func (r *slowReader) open(inode uint64, pins []holders.Pin) (fd int, err error) {
	for _, pin := range pins[:min(len(pins), maxAsked)] {
		path := fmt.Sprintf("%d/ns/mnt", pin.PID)
		switch {
		case pin.Kind == holders.Thread:
			path = fmt.Sprintf("%d/task/%d/ns/mnt", pin.PID, pin.TID)
		case pin.Kind == holders.FD && pin.TID == 0:
			path = fmt.Sprintf("%d/fd/%d", pin.PID, pin.FD)
		case pin.Kind == holders.FD:
			path = fmt.Sprintf("%d/task/%d/fd/%d", pin.PID, pin.TID, pin.FD)
		}
		if fd, err = r.openNamespace(path, inode); err == nil {
			return fd, nil
		}
	}
	return -1, err
}

// openNamespace opens the namespace file at a path below /proc, if it is this
// one still: descriptors and pids are used again. O_PATH asks no server, and
// what it opened is known before the file itself is.
func (r *slowReader) openNamespace(path string, inode uint64) (int, error) {
	handle, err := unix.Openat(r.proc, path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(handle)
	return r.reopen(handle, inode)
}

// reopen makes a descriptor of the namespace out of one that is a mere handle.
func (r *slowReader) reopen(handle int, inode uint64) (int, error) {
	self := fmt.Sprintf("thread-self/fd/%d", handle)
	buf := make([]byte, 64)
	n, err := unix.Readlinkat(r.proc, self, buf)
	if err != nil {
		return -1, fmt.Errorf("readlink of a namespace: %w", err)
	}
	if got, ok := mounts.NamespaceInode(string(buf[:n])); !ok || got != inode {
		// A bound file's link is its path, and then statx has to tell.
		var stat, own unix.Statx_t
		const flags = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
		err := errors.Join(unix.Statx(handle, "", flags, unix.STATX_INO, &stat),
			unix.Statx(r.proc, "thread-self/ns/mnt", unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &own))
		if err != nil || stat.Ino != inode || stat.Dev_major != own.Dev_major || stat.Dev_minor != own.Dev_minor {
			return -1, errors.Join(err, fmt.Errorf("another file is there now: %w", fs.ErrNotExist))
		}
	}
	fd, err := unix.Openat(r.proc, self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a namespace: %w", err)
	}
	return fd, nil
}

// openBound opens the namespace file that is bound at point in the namespace
// in.
func (r *slowReader) openBound(in int, point string, inode uint64) (fd int, err error) {
	err = nsfs.Inside(in, func() error {
		handle, err := nsfs.OpenCached(point)
		if err != nil {
			return err
		}
		defer unix.Close(handle)
		fd, err = r.reopen(handle, inode)
		return err
	})
	return fd, err
}
