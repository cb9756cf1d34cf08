package heal

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/linux/fusectl"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/statmount"
	"sexton.dev/linux/pidfd"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
)

// abort ends every request on a FUSE file system with an error.
func abort(ctx context.Context, s plan.Step, _ func(any) error) error {
	minor, err := strconv.Atoi(strings.TrimPrefix(s.Target.Device, "0:"))
	if err != nil {
		return refusal{fmt.Errorf("%q is no FUSE file system's number", s.Target.Device)}
	}
	c, err := fusectl.Open(ctx, minor)
	if err == nil {
		defer c.Close()
		err = stillMounted(s.Target)
	}
	if err == nil {
		err = c.Abort(ctx)
	}
	return sorted(err, []error{fusectl.ErrGone, unix.ENOENT}, []error{fusectl.ErrRefused})
}

// stillMounted says whether a superblock's number is still that of the file system that
// was seen, for numbers are used again: by a mount of it (Linux 6.11), else by a
// thread that waits for it and has not run since, which keeps it.
func stillMounted(t check.Target) error {
	switch {
	case t.MountNamespaceID == 0 && t.TID == 0:
		return refusal{fmt.Errorf("nothing tells whether %s is still the file system that was seen: no mount and no thread of it is known; abort it by hand", t.Device)}
	case t.MountNamespaceID == 0:
		return stillWaited(t)
	}
	var m mounts.Mount
	if _, _, err := statmount.NewCaller().Stat(t.MountNamespaceID, t.Mount, statmount.Device, &m); err != nil {
		return fmt.Errorf("mount %d: %w", t.Mount, err)
	}
	if is := m.Device().String(); is != t.Device {
		return refusal{fmt.Errorf("mount %d is of %s, not of %s: plan again: sexton heal", t.Mount, is, t.Device)}
	}
	return nil
}

func stillWaited(t check.Target) error {
	p, err := pidfd.Open(t.PID, t.Start)
	if err != nil {
		return pinned(err)
	}
	defer p.Close()
	dir := fmt.Sprintf("/proc/%d/task/%d/", t.PID, t.TID)
	table, err := os.ReadFile(dir + "mountinfo")
	if err != nil {
		return fmt.Errorf("%w: thread %d: %w", errNotNeeded, t.TID, err)
	}
	all, err := mounts.ParseMountinfo(table)
	if err != nil {
		return refusal{err}
	}
	if !slices.ContainsFunc(all, func(m mounts.Mount) bool {
		return t.Device == m.Device().String() && strings.HasPrefix(m.Type, "fuse")
	}) {
		return refusal{fmt.Errorf("%s (pid %d) has no FUSE file system %s mounted by now: plan again: sexton heal", t.Comm, t.PID, t.Device)}
	}
	text, err := os.ReadFile(dir + "status") // last: it has been waiting while the rest was read
	if err != nil {
		return fmt.Errorf("%w: thread %d: %w", errNotNeeded, t.TID, err)
	}
	if s, err := procfs.ParseStatus(text); err != nil || s.Switches() != t.Switches {
		return refusal{fmt.Errorf("thread %d of %s (pid %d) has run since it was seen to wait: plan again: sexton heal", t.TID, t.Comm, t.PID)}
	}
	return nil
}
