package undo

import (
	"cmp"
	"errors"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// How often it is tried while somebody uses the mount for a moment now and then, as
// a monitor does, or others mount and rename beside it; and how often the answer
// must be that it is busy.
const tries, busyTries = 100, 5

var errAgain, errBusy = errors.New("something came between"), errors.New("in use")

// unmount unmounts the wanted mount if nothing uses it. See the package's comment.
func (t table) unmount(m Mount) error {
	for busy, n := 0, 0; n < tries && busy < busyTries; n++ {
		err := t.once(m)
		if errors.Is(err, errBusy) {
			busy++
		} else if !errors.Is(err, errAgain) {
			return err
		}
	}
	return t.explain(m, unix.EBUSY)
}

func (t table) once(m Mount) error {
	p, fd, below, err := t.reach(m)
	if err != nil {
		return err
	}
	defer p.close()
	if len(below) > 0 {
		unix.Close(fd)
		return t.explain(m, unix.EBUSY)
	}
	pinned, beside, err := t.pin(p, m)
	defer pinned.close()
	unix.Close(fd)
	if err != nil {
		return err
	}
	if err := unix.Fchdir(p.parent); err != nil {
		return failed("go to the directory above", err)
	}
	defer unix.Fchdir(t.proc) // or the thread keeps that mount in use until its end
	for range 2 {
		err := unix.Unmount(p.name, unix.MNT_EXPIRE|unix.UMOUNT_NOFOLLOW)
		if err == nil {
			return t.gone(m)
		}
		if !errors.Is(err, unix.EAGAIN) {
			return t.refused(p, m, err)
		}
		if now, _, err := t.around(p); err != nil || !slices.Equal(now, beside) {
			p.use()
			return errors.Join(err, errAgain)
		}
	}
	p.use() // twice marked: it was used meanwhile
	return errAgain
}

// refused tells what an errno was about: the name may have led to a link then, or
// to another mount, which is pinned.
func (t table) refused(p place, m Mount, err error) error {
	if errors.Is(err, unix.EBUSY) {
		return errBusy
	}
	fd, there := t.openAt(p, m)
	if there != nil {
		return there
	}
	defer unix.Close(fd)
	if !errors.Is(err, unix.EINVAL) {
		return t.explain(m, err)
	}
	return cmp.Or(t.askLock(m, fd), errAgain)
}

// use takes the mark off what is there.
func (p place) use() {
	if fd, err := p.open(); err == nil {
		unix.Close(fd)
	}
}

// around returns the ids of all that is mounted below the mount of the directory
// above, in order, and each of them.
func (t table) around(p place) (ids []uint64, all []mounts.Mount, err error) {
	above, err := t.id(p.parent)
	if err != nil {
		return nil, nil, failed("tell on which mount it is", err)
	}
	if all, err = t.below(above); err != nil {
		return nil, nil, err
	}
	for _, b := range all {
		ids = append(ids, t.own(b))
	}
	slices.Sort(ids)
	return ids, all, nil
}

type pins []int

func (p pins) close() {
	for _, fd := range p {
		unix.Close(fd)
	}
}

// pin opens each mount on the same mount as the wanted one, but that. They are what
// a rename could bring to its path, and cannot be unmounted while open. Only those
// that another hides have no path to open them by. beside
// is what there was then, and nothing was on the wanted one.
func (t table) pin(p place, m Mount) (pinned pins, beside []uint64, err error) {
	beside, all, err := t.around(p)
	if err != nil {
		return nil, nil, err
	}
	on := make(map[uint64][]mounts.Mount, len(all)) // by parent
	for _, b := range all {
		on[t.parent(b)] = append(on[t.parent(b)], b)
	}
	if len(on[m.ID]) > 0 { // it has come since the first look
		return nil, nil, errAgain
	}
	above, err := t.id(p.parent)
	if err != nil {
		return nil, nil, failed("tell on which mount it is", err)
	}
	points := make(map[string]bool, len(on[above]))
	for _, b := range on[above] {
		points[b.MountPoint] = true
	}
	for _, b := range on[above] {
		if topmost(t, b, on) == m.ID || hidden(b.MountPoint, points) {
			continue // the wanted one, or what it covers
		}
		top, err := t.pinOne(b)
		if errors.Is(err, unix.EMFILE) {
			return pinned, beside, &Error{Failed, "too many mounts beside it to hold all of them", "raise the limit of open files (ulimit -n)"}
		}
		if err != nil {
			return pinned, beside, errAgain
		}
		pinned = append(pinned, top)
		if there, err := t.id(top); err != nil || there != topmost(t, b, on) {
			return pinned, beside, errAgain
		}
	}
	return pinned, beside, nil
}

// hidden reports whether something is mounted above a path.
func hidden(point string, beside map[string]bool) bool {
	for point != "/" && point != "." {
		if point = path.Dir(point); beside[point] {
			return true
		}
	}
	return false
}

func (t table) pinOne(b mounts.Mount) (int, error) {
	p, err := walk(b.MountPoint)
	if err != nil {
		return -1, err
	}
	defer p.close()
	return p.open()
}

// topmost is the id of the last of those that cover each other, from b on.
func topmost(t table, b mounts.Mount, on map[uint64][]mounts.Mount) uint64 {
	for {
		i := slices.IndexFunc(on[t.own(b)], func(c mounts.Mount) bool { return c.MountPoint == b.MountPoint })
		if i < 0 {
			return t.own(b)
		}
		b = on[t.own(b)][i]
	}
}
