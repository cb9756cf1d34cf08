package undo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

// A table is what the kernel says of the mount namespace that the thread is in. It
// uses no mount by looking at it. Mounts are told by unique ids, or before Linux
// 6.8 by those of mountinfo together with device, root and point.
type table struct {
	proc   int // /proc, opened before the namespace was entered: inside it anything may be on that path
	unique bool
	calls  *statmount.Caller
}

const described = statmount.Device | statmount.Basic | statmount.Root | statmount.Point | statmount.Type | statmount.Source

// inside runs act on a thread of its own in the mount namespace.
func inside(namespace int, unique bool, act func(table) error) error {
	proc, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed("open /proc", err)
	}
	defer unix.Close(proc)
	t := table{proc, unique, statmount.NewCaller()}
	if err := nsfs.Inside(namespace, func() error { return act(t) }); err != nil {
		return failed("enter the mount namespace", err)
	}
	return nil
}

// find returns the wanted mount as it is now, and all that are mounted below it.
// [ErrGone]: it is in this namespace no more.
func (t table) find(m Mount) (now mounts.Mount, below []mounts.Mount, err error) {
	if t.unique {
		now, below, err = t.ask(m.ID)
	} else {
		now, below, err = t.read(m)
	}
	if err != nil {
		return now, nil, err
	}
	if !m.is(now) {
		return now, nil, other("mount %d is by now %s", m.ID, describe(now))
	}
	return now, below, nil
}

// is compares all but the id.
func (m Mount) is(now mounts.Mount) bool {
	device := now.Device().String()
	return (m.Device == "" || m.Device == device) && (m.Root == "" || m.Root == now.Root) && m.Point == now.MountPoint &&
		(m.Unique || m.Super == "" || m.Super == now.Super)
}

func (t table) ask(id uint64) (now mounts.Mount, below []mounts.Mount, err error) {
	_, _, err = t.calls.Stat(0, id, described, &now)
	if errors.Is(err, unix.ENOENT) {
		return now, nil, &Error{Gone, fmt.Sprintf("mount %d is not in this namespace any more", id), ""}
	}
	if err != nil {
		return now, nil, failed("look at the mount", err)
	}
	below, err = t.below(id)
	return now, below, err
}

// below returns what is mounted on the mount with this id and on those that are.
func (t table) below(id uint64) (all []mounts.Mount, err error) {
	if !t.unique {
		lines, err := t.mountinfo()
		if err != nil {
			return nil, failed("read mountinfo", err)
		}
		return belowLine(lines, int(id)), nil
	}
	ids, err := t.calls.Below(0, id, nil)
	if err != nil {
		return nil, failed("list what is mounted below", err)
	}
	for _, id := range ids {
		var m mounts.Mount
		if _, _, err := t.calls.Stat(0, id, described, &m); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, failed("look at what is mounted below", err)
		} else if err == nil {
			all = append(all, m)
		}
	}
	return all, nil
}

// read does it by mountinfo, which does not show what is below a covered "/": so
// what it has not got may be gone or not.
func (t table) read(m Mount) (now mounts.Mount, below []mounts.Mount, err error) {
	lines, err := t.mountinfo()
	if err != nil {
		return now, nil, failed("read mountinfo", err)
	}
	i := slices.IndexFunc(lines, func(line mounts.Mount) bool { return uint64(line.ID) == m.ID })
	if i < 0 {
		return now, nil, other("mount %d is not to be seen in this namespace: it is gone, or below what covers \"/\"", m.ID)
	}
	return lines[i], belowLine(lines, lines[i].ID), nil
}

func belowLine(lines []mounts.Mount, id int) (below []mounts.Mount) {
	within := map[int]bool{id: true}
	for more := true; more; { // the lines are in no order that could be relied on
		more = false
		for _, line := range lines {
			if within[line.Parent] && !within[line.ID] {
				below, within[line.ID], more = append(below, line), true, true
			}
		}
	}
	return below
}

func (t table) mountinfo() ([]mounts.Mount, error) {
	text, err := t.file("thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	return mounts.ParseMountinfo(text)
}

func (t table) file(name string) ([]byte, error) {
	fd, err := unix.Openat(t.proc, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	const most = 256 << 20
	return io.ReadAll(io.LimitReader(f, most))
}

// gone proves that the mount was unmounted. It was seen before, so with mountinfo
// too its absence is the proof. What was mounted there at once and has got its number
// is taken for it, if it looks the same.
func (t table) gone(m Mount) error {
	if !t.unique {
		all, err := t.mountinfo()
		if err != nil {
			return failed("look again", err)
		}
		for _, line := range all {
			if uint64(line.ID) == m.ID && m.is(line) {
				return unverified(line)
			}
		}
		return nil
	}
	var now mounts.Mount
	_, _, err := t.calls.Stat(0, m.ID, described, &now)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return failed("look again", err)
	}
	return unverified(now)
}

func unverified(now mounts.Mount) error {
	return &Error{Unverified, "the unmount was done and did not hit " + describe(now) + ", so what was mounted on it at that very moment is gone instead", lookAgain}
}

// id returns the id of the mount that fd is on, and asks no file system for it.
func (t table) id(fd int) (uint64, error) {
	mask := unix.STATX_MNT_ID
	if t.unique {
		mask = unix.STATX_MNT_ID_UNIQUE
	}
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, mask, &st)
	if err == nil && int(st.Mask)&mask != 0 {
		return st.Mnt_id, nil
	}
	if t.unique {
		return 0, &Error{Other, "this kernel has no unique mount ids", "look again and use those of mountinfo"}
	}
	text, err := t.file(fmt.Sprintf("self/fdinfo/%d", fd)) // before Linux 5.8
	if err != nil {
		return 0, err
	}
	return holders.ParseMountID(text)
}

// own and parent are the ids by which this table tells mounts.
func (t table) own(m mounts.Mount) uint64 {
	if t.unique {
		return m.UniqueID
	}
	return uint64(m.ID)
}

func (t table) parent(m mounts.Mount) uint64 {
	if t.unique {
		return m.UniqueParent
	}
	return uint64(m.Parent)
}

// describe says which mount that is.
func describe(m mounts.Mount) string {
	id := m.UniqueID
	if id == 0 {
		id = uint64(m.ID)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mount %d, %q on %q (%s %d:%d", id, m.Root, m.MountPoint, m.Type, m.Major, m.Minor)
	if m.Source != "" {
		fmt.Fprintf(&b, " of %q", m.Source)
	}
	return b.String() + ")"
}
