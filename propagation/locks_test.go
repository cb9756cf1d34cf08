package propagation_test

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// probeLocks finds which mounts are locked and sets that in the world. It returns for which ids
// that is known: not for the roots of namespaces, what is on "/", and what is covered. If the host
// is told to guess, those are locked that came with a clone into a new user namespace.
//
// No interface tells a lock. But an expiry of a mount that is in use fails in two ways, without
// any effect: EBUSY, or EINVAL if it is locked. The open file here is the use.
func (h *host) probeLocks(w *world) (known map[uint64]bool) {
	known = map[uint64]bool{}
	free := map[uint64]bool{h.spaces[0].id: true} // namespaces without locks
	users := false
	for _, s := range h.spaces {
		users = users || s.owner != 1
	}
	for _, s := range h.spaces {
		free[s.id] = free[s.id] || !users
	}
	in := uint64(0)
	for i := range w.mounts {
		m := &w.mounts[i]
		if free[m.Namespace] {
			known[m.ID] = true
			continue
		}
		if in != m.Namespace {
			in = m.Namespace
			enter(h.space(w.name(in)).fd)
		}
		if m.Point != "/" {
			m.Locked, known[m.ID] = h.probeLock(m.Point, m.ID)
		}
		if h.guess && !known[m.ID] {
			m.Locked, known[m.ID] = h.space(w.name(m.Namespace)).came[m.ID], true
		}
	}
	enter(h.home)
	return known
}

func (h *host) probeLock(point string, id uint64) (locked, known bool) {
	fd, err := unix.Open(path.Clean(point), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(fd)
	if on, err := h.mountOf(fd); err != nil || on != id {
		return false, false
	}
	switch err := unix.Unmount(point, unix.MNT_EXPIRE|unix.UMOUNT_NOFOLLOW); err {
	case unix.EINVAL:
		return true, true
	case unix.EBUSY:
		return false, true
	default:
		panic(fmt.Sprintf("a probe of %s must fail with EBUSY or EINVAL: %v", point, err))
	}
}

// allKnown reports whether the locks of all mounts are known, those of roots aside: they do not matter.
func allKnown(w *world, known map[uint64]bool) bool {
	t, _ := w.table()
	for _, m := range w.mounts {
		if _, inner := t.On(m.ID); inner && !known[m.ID] {
			return false
		}
	}
	return true
}
