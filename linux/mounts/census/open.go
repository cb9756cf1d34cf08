package census

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/nsfs"
)

// Open opens the file of a mount namespace that was seen before, by a process,
// thread or descriptor that leads to it, else by the kernel's own way (Linux
// 6.12), else by a file at which it is bound. [fs.ErrNotExist]: it ended. ENOTTY
// before Linux 6.12, EPERM in a PID namespace: nothing of that leads to it. The
// caller closes it.
func Open(ctx context.Context, proc string, ns mounts.Namespace, pins []holders.Pin) (int, error) {
	r, err := newSlowReader(Request{Proc: proc})
	if err != nil {
		return -1, err
	}
	defer r.close()
	fd, err := r.open(ns.Inode, pins)
	if err != nil || fd < 0 {
		fd, err = fromKernel(proc, ns.Inode)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fd, err = r.seek(ctx, ns.Inode, err)
	}
	if err != nil {
		return -1, err
	}
	if id, err := nsfs.ID(fd); err == nil && ns.ID != 0 && id != ns.ID {
		unix.Close(fd)
		return -1, fmt.Errorf("mnt:[%d] is another one by now: %w", ns.Inode, fs.ErrNotExist)
	}
	return fd, nil
}

// seek reads every namespace, as a file of the wanted one may be bound in any. It
// fails with err if none is.
func (r *slowReader) seek(ctx context.Context, inode uint64, err error) (int, error) {
	r.wanted, r.opened = inode, -1
	if _, err := r.pass(ctx); err != nil {
		if r.opened >= 0 {
			unix.Close(r.opened)
		}
		return -1, err
	}
	if r.opened < 0 {
		return -1, err
	}
	return r.opened, nil
}

func fromKernel(proc string, inode uint64) (int, error) {
	own, err := openOwn(proc)
	if err != nil {
		return -1, err
	}
	defer unix.Close(own)
	found := -1
	stop := errors.New("found")
	err = nsfs.Each(own, func(fd int, _ nsfs.Info) error {
		if got, err := nsfs.Inode(fd); err != nil || got != inode {
			return err
		}
		if found, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return err
		}
		return stop
	})
	if found < 0 {
		return -1, fmt.Errorf("nothing leads to mnt:[%d]: %w", inode, cmp.Or(err, fs.ErrNotExist))
	}
	return found, nil
}
