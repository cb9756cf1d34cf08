package undo

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// Unmount unmounts exactly this mount in the mount namespace, if nothing uses it:
// never with MNT_DETACH, which would hide who does. What else goes in this and other
// namespaces, by propagation, is for the caller to know beforehand.
//
// The kinds of [Error] say what came of it; [ErrGone] is for what needs nothing.
// Never the root of a namespace: to unmount its own root, the kernel makes the
// whole superblock read-only, for all.
//
// It needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace, and
// CAP_SYS_ADMIN and CAP_SYS_CHROOT in its own to enter it; CAP_DAC_READ_SEARCH to
// walk there. It may wait for ever for a dead server.
//
// Source: umount(2); Linux 6.18 fs/namespace.c, ksys_umount, can_umount, do_umount.
func Unmount(namespace int, m Mount) error {
	if err := m.check(); err != nil {
		return err
	}
	return inside(namespace, m.Unique, func(t table) error { return t.unmount(m) })
}

// Unlocked refuses what [Unmount] would refuse for good: a mount that is another by
// now, has others on it or is locked. It changes nothing. Whether it is in use is
// not looked at.
func Unlocked(namespace int, m Mount) error {
	if err := m.check(); err != nil {
		return err
	}
	return inside(namespace, m.Unique, func(t table) error {
		p, fd, below, err := t.reach(m)
		if err != nil {
			return err
		}
		defer p.close()
		defer unix.Close(fd)
		if len(below) > 0 {
			return t.explain(m, unix.EBUSY)
		}
		return t.askLock(m, fd)
	})
}

// askLock is the question of package probe: the mount is open, so the answer is
// EBUSY if it is not locked. It leaves the working directory at /proc.
func (t table) askLock(m Mount, fd int) error {
	if err := unix.Fchdir(t.proc); err != nil {
		return failed("go to /proc", err)
	}
	if unix.Unmount(fmt.Sprintf("self/fd/%d", fd), unix.MNT_EXPIRE) == unix.EINVAL {
		return t.explain(m, unix.EINVAL)
	}
	return nil
}

// MakePrivate takes exactly this mount out of its peer group and from its master:
// what is mounted on it or unmounted from it stays in its namespace then, and
// nothing comes. Mounts that had it as their master have none any more, or its own.
// It may be the root of its namespace.
//
// It needs what [Unmount] needs.
//
// Source: mount_setattr(2), Linux 5.12, which takes the descriptor's mount, covered
// or not; before it mount(2) on /proc/self/fd/N does.
func MakePrivate(namespace int, m Mount) error {
	err := m.check()
	if m.Point == "/" {
		err = m.identified()
	}
	if err != nil {
		return err
	}
	return inside(namespace, m.Unique, func(t table) error {
		fd, err := t.open(m)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := t.private(fd); err != nil {
			return err
		}
		now, _, err := t.find(m)
		if err == nil && now.Shared|now.Master != 0 {
			err = &Error{Unverified, fmt.Sprintf("it was made private and is by now in peer group %d with master %d", now.Shared, now.Master), lookAgain}
		}
		return err
	})
}

func (t table) private(fd int) error {
	err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Propagation: unix.MS_PRIVATE})
	if errors.Is(err, unix.ENOSYS) {
		if err = unix.Fchdir(t.proc); err == nil {
			err = unix.Mount("", fmt.Sprintf("self/fd/%d", fd), "", unix.MS_PRIVATE, "")
		}
	}
	if err != nil {
		return failed("make it private", err)
	}
	return nil
}

// open opens a mount at its path, the root too.
func (t table) open(m Mount) (int, error) {
	if m.Point != "/" {
		p, fd, _, err := t.reach(m)
		if err == nil {
			p.close()
		}
		return fd, err
	}
	if _, _, err := t.find(m); err != nil {
		return -1, err
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, failed("open /", err)
	}
	if there, err := t.id(fd); err != nil || there != m.ID {
		unix.Close(fd)
		return -1, errors.Join(err, other("\"/\" is mount %d, not %d", there, m.ID))
	}
	return fd, nil
}

// reach goes to the mount by its path and opens it there, and returns what is
// mounted below. The caller closes both.
func (t table) reach(m Mount) (p place, fd int, below []mounts.Mount, err error) {
	if _, below, err = t.find(m); err != nil {
		return p, -1, nil, err
	}
	if p, err = walk(m.Point); err != nil {
		return p, -1, nil, blocked(m.Point, err)
	}
	if fd, err = t.openAt(p, m); err != nil {
		p.close()
		return p, -1, nil, err
	}
	return p, fd, below, nil
}

// blocked says why there is no way to what was there.
func blocked(path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return other("%q does not lead there any more: %v on the way", path, err)
	}
	return failed("go there", err)
}

// openAt opens what is at the place, if it is the wanted mount: its root, since
// the directory above is on another.
func (t table) openAt(p place, m Mount) (int, error) {
	fd, err := p.open()
	if err != nil {
		return -1, blocked(m.Point, err)
	}
	there, err := t.id(fd)
	if err == nil && there == m.ID {
		there, err = t.id(p.parent)
		if err == nil && there != m.ID {
			return fd, t.notRoot(m.ID, fd)
		}
	}
	unix.Close(fd)
	if err != nil {
		return -1, failed("tell which mount is there", err)
	}
	return -1, t.covers(there, m)
}

// notRoot closes fd with an error if the mount is the one the thread has as "/".
func (t table) notRoot(id uint64, fd int) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		var top uint64
		top, err = t.id(root)
		unix.Close(root)
		if err == nil && top != id {
			return nil
		}
	}
	unix.Close(fd)
	if err != nil {
		return failed("look at /", err)
	}
	return &Error{Root, fmt.Sprintf("mount %d is the root of its mount namespace and is never touched", id), "end the processes that live in it"}
}

// covers says what a path leads to instead.
func (t table) covers(there uint64, m Mount) error {
	what := Mount{ID: there, Unique: t.unique, Point: m.Point}
	now, _, err := t.find(what)
	if err != nil && now.MountPoint == "" {
		return other("%q leads to mount %d, not to %d", m.Point, there, m.ID)
	}
	_, below, err := t.find(m)
	if err == nil && slices.ContainsFunc(below, func(b mounts.Mount) bool { return t.own(b) == there }) {
		return &Error{Other, fmt.Sprintf("mount %d is covered by %s", m.ID, describe(now)), "unmount that first, if nobody needs it"}
	}
	return other("%q leads to %s, not to mount %d", m.Point, describe(now), m.ID)
}

// explain turns the errno of an unmount into the sentence for it.
func (t table) explain(m Mount, err error) error {
	_, below, foundErr := t.find(m)
	if foundErr != nil {
		return foundErr
	}
	switch {
	case errors.Is(err, unix.EINVAL):
		return &Error{Locked, fmt.Sprintf("mount %d is locked: it came from the mount namespace that this one was made from, and its user namespace may not part it from the rest", m.ID),
			"unmount it where it came from, or end the processes of this namespace"}
	case errors.Is(err, unix.EBUSY) && len(below) > 0:
		return &Error{Busy, fmt.Sprintf("%d mounts are below mount %d, such as %s", len(below), m.ID, describe(below[0])), "unmount those first"}
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EAGAIN):
		return &Error{Busy, fmt.Sprintf("mount %d is in use, here or in a copy that would go with it", m.ID), "find by whom with sexton holders, and end that"}
	}
	return failed("umount2", err)
}
