package census

import (
	"cmp"
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
// 6.12). [fs.ErrNotExist]: it ended. ENOTTY before Linux 6.12, EPERM in a PID
// namespace: no process leads to it, and there is no other way. The caller closes it.
func Open(proc string, ns mounts.Namespace, pins []holders.Pin) (int, error) {
	r, err := newSlowReader(Request{Proc: proc})
	if err != nil {
		return -1, err
	}
	defer r.close()
	fd, err := r.open(ns.Inode, pins)
	if err != nil || fd < 0 {
		if fd, err = fromKernel(proc, ns.Inode); err != nil {
			return -1, err
		}
	}
	if id, err := nsfs.ID(fd); err == nil && ns.ID != 0 && id != ns.ID {
		unix.Close(fd)
		return -1, fmt.Errorf("mnt:[%d] is another one by now: %w", ns.Inode, fs.ErrNotExist)
	}
	return fd, nil
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
