package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/nsfs"
)

// A Mount is one to ask about.
type Mount struct {
	ID    uint64 // unique (Linux 6.8), else that of mountinfo
	Point string // as seen from the root of its namespace
}

// Errors of [Locked].
var (
	ErrOther = errors.New("another mount is on its path, or none")
	ErrRoot  = errors.New("the mount on / cannot be asked about")
)

// Locked reports whether a mount of the namespace that the calling thread is in
// is locked.
//
// It asks to expire the mount, umount2(MNT_EXPIRE), and holds it open meanwhile.
// The kernel looks at the lock first (EINVAL) and next whether the mount is in use
// (EBUSY), which it is: it never comes to expire it. If the path leads to another
// mount in that very instant, that one is only marked, as by each first such call
// (EAGAIN), and the mark is taken off again.
//
// It asks only where a walk finds all in memory, so no dead server is asked and no
// automount wakes; umount2 has no such flag, and walks the same way right after
// that. Who unmounts the mount in that instant gets EBUSY. ErrOther: it is
// covered, or gone. EPERM: the caller has not got CAP_SYS_ADMIN in the user
// namespace that owns the mount namespace. EINVAL of openat2: before Linux 5.12.
//
// Source: umount(2); Linux 6.18 fs/namespace.c, can_umount and do_umount, the same
// order in 6.1.
func Locked(m Mount) (bool, error) {
	if path.Clean(m.Point) == "/" {
		return false, ErrRoot
	}
	fd, err := open(m)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	answer := unix.Unmount(m.Point, unix.MNT_EXPIRE|unix.UMOUNT_NOFOLLOW)
	if answer == unix.EAGAIN {
		return false, errors.Join(ErrOther, unmark(m.Point))
	}
	again, err := open(m) // what was unmounted or covered meanwhile gets EINVAL and EBUSY for that
	if err != nil {
		return false, err
	}
	unix.Close(again)
	switch answer {
	case unix.EINVAL:
		return true, nil
	case unix.EBUSY:
		return false, nil
	case nil:
		return false, fmt.Errorf("umount2(MNT_EXPIRE) of %s succeeded: another program was just expiring what came there", m.Point)
	}
	return false, fmt.Errorf("umount2(MNT_EXPIRE): %w", answer)
}

// open opens the mount, if its path leads to it.
func open(m Mount) (int, error) {
	fd, err := nsfs.OpenCached(m.Point)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, ErrOther
	}
	if err != nil {
		return -1, err
	}
	mask := unix.STATX_MNT_ID
	if mounts.IsUnique(m.ID) {
		mask = unix.STATX_MNT_ID_UNIQUE
	}
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, &st)
	if err == nil && (int(st.Mask)&mask == 0 || st.Mnt_id != m.ID || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0) {
		err = ErrOther
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// unmark uses a mount, which takes the mark off.
//
// Source: Linux 6.18 fs/namespace.c, mntput.
func unmark(point string) error {
	fd, err := nsfs.OpenCached(point)
	if err != nil {
		return fmt.Errorf("take the expiry mark off again: %w", err)
	}
	return unix.Close(fd)
}
