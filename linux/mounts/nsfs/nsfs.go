// Package nsfs walks from one mount namespace to all others, and enters one.
//
// All works on descriptors of namespace files such as /proc/PID/ns/mnt: a
// namespace without a process has no other name.
package nsfs

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrTooMany is the error of a host with over 262,144 mount namespaces.
var ErrTooMany = errors.New("too many mount namespaces")

const maxNamespaces = 1 << 18

// An Info is what the kernel says of a mount namespace.
type Info struct {
	ID     uint64 // never used again
	Mounts int    // all of them, the hidden ones below its root too
}

// The ioctls of struct mnt_ns_info, which x/sys does not name. They differ from
// NS_GET_MNTNS_ID in the size of the argument, 16 bytes for 8, and the number,
// 10 to 12 for 5, in every architecture's way of writing them.
//
// Source: Linux 6.12 include/uapi/linux/nsfs.h.
const (
	getInfo = unix.NS_GET_MNTNS_ID + (16-8)<<16 + (10 - 5)
	getNext = getInfo + 1
	getPrev = getInfo + 2
)

// mntNSInfo is struct mnt_ns_info.
type mntNSInfo struct {
	size   uint32
	mounts uint32
	id     uint64
}

// Get returns the kernel's account of the mount namespace fd. ENOTTY: before Linux 6.12.
//
// Source: Linux 6.12 fs/nsfs.c, NS_MNT_GET_INFO.
func Get(fd int) (Info, error) {
	_, info, err := step(fd, getInfo)
	if err != nil {
		return Info{}, fmt.Errorf("NS_MNT_GET_INFO: %w", err)
	}
	return info, nil
}

// ID returns the id of the mount namespace fd, which is never used again.
// ENOTTY: before Linux 6.11.
//
// Source: Linux 6.11 fs/nsfs.c, NS_GET_MNTNS_ID.
func ID(fd int) (uint64, error) {
	var id uint64
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_MNTNS_ID, uintptr(unsafe.Pointer(&id))); errno != 0 {
		return 0, fmt.Errorf("NS_GET_MNTNS_ID: %w", errno)
	}
	return id, nil
}

// Inode returns the inode of the namespace file fd, as its link text has it.
func Inode(fd int) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return 0, fmt.Errorf("fstat of a namespace: %w", err)
	}
	return stat.Ino, nil
}

// Owner returns the inode of the user namespace that owns the namespace fd.
// EPERM: it is not below the caller's own user namespace.
//
// Source: ioctl_ns(2), Linux 4.9; fs/nsfs.c, NS_GET_USERNS.
func Owner(fd int) (uint64, error) {
	owner, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_USERNS, 0)
	if errno != 0 {
		return 0, fmt.Errorf("NS_GET_USERNS: %w", errno)
	}
	defer unix.Close(int(owner))
	return Inode(int(owner))
}

// Each calls visit for every mount namespace that the caller may see, fd's own
// first. Their ids are in no order of age, so it goes both ways from there. One
// that is made or ends meanwhile may be missed. The descriptor that visit gets
// is closed after it. An error of visit ends the walk and is returned.
//
// EPERM, after fd's own was visited: the caller has not got CAP_SYS_ADMIN, in
// the user namespace that the host began with on newer kernels. Older ones pass
// over the namespaces that the caller has no power over, and say nothing.
//
// Source: Linux 6.12 fs/nsfs.c, NS_MNT_GET_NEXT, NS_MNT_GET_PREV.
func Each(fd int, visit func(fd int, info Info) error) error {
	info, err := Get(fd)
	if err != nil {
		return err
	}
	if err := visit(fd, info); err != nil {
		return err
	}
	seen := 1
	for _, way := range []uint{getPrev, getNext} {
		if err := eachWay(fd, way, &seen, visit); err != nil {
			return err
		}
	}
	return nil
}

func eachWay(from int, way uint, seen *int, visit func(fd int, info Info) error) error {
	at := from
	leave := func() {
		if at != from {
			unix.Close(at)
		}
	}
	for {
		next, info, err := step(at, way)
		leave()
		if err == unix.ENOENT {
			return nil
		}
		if err != nil {
			return fmt.Errorf("NS_MNT_GET_NEXT or PREV: %w", err)
		}
		at = next
		if *seen++; *seen > maxNamespaces {
			leave()
			return ErrTooMany
		}
		if err := visit(at, info); err != nil {
			leave()
			return err
		}
	}
}

func step(fd int, request uint) (next int, info Info, err error) {
	var raw mntNSInfo
	for {
		got, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&raw)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return -1, Info{}, errno
		}
		return int(got), Info{ID: raw.id, Mounts: int(raw.mounts)}, nil
	}
}

// Inside runs f on a thread of its own that stands in the mount namespace fd,
// with the top mount of its "/" as root and working directory. The thread ends
// with f, so nothing else ever runs there.
//
// It needs CAP_SYS_ADMIN and CAP_SYS_CHROOT. f may open nothing by a path that
// a dead server could hold up. A child with a death signal (Pdeathsig) gets it
// when the thread that started it ends, which may be this one: start such a
// child from a locked thread.
//
// Source: setns(2); Linux 6.12 fs/namespace.c, mntns_install, which wants a
// thread that shares its root and working directory with no other.
func Inside(fd int, f func() error) error {
	done := make(chan error, 1)
	go onOwnThread(func() { done <- enter(fd, f) })
	return <-done
}

// onOwnThread runs f on a thread that ends after it, where it is the goroutine's
// last call. The process's first thread never ends: Go parks it, and then the
// whole process would seem to live where f left it. So that one is kept busy
// while f runs elsewhere.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f() // the thread stays locked, so it ends with the goroutine
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		f()
	}()
	<-done
}

func enter(fd int, f func() error) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns to a mount namespace: %w", err)
	}
	return f()
}
