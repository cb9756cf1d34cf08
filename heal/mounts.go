package heal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/undo"
	"sexton.dev/plan"
)

// unmount unmounts the very mount that a step names, in its namespace.
func unmount(ctx context.Context, s plan.Step, _ func(any) error) error {
	ns, err := namespace(ctx, s)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	return undone(patiently(ctx, func() error {
		if err := onlyThose(ctx, s, false); err != nil {
			return err
		}
		return undo.Unmount(ns, wanted(s.Target))
	}))
}

// unmountPrivate makes the parent of a mount private and unmounts the mount. What
// would refuse the second is looked for before the first.
func unmountPrivate(ctx context.Context, s plan.Step, _ func(any) error) error {
	if s.Parent == nil {
		return refusal{errors.New("the step does not name what the mount is on: plan again: sexton heal")}
	}
	ns, err := namespace(ctx, s)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	m, parent := wanted(s.Target), wanted(*s.Parent)
	if err := undo.Unlocked(ns, m); err != nil {
		return undone(err)
	}
	if err := onlyThose(ctx, s, false); err != nil {
		return err
	}
	if err := undo.MakePrivate(ns, parent); err != nil {
		return undone(err)
	}
	if err := patiently(ctx, func() error { return undo.Unmount(ns, m) }); err != nil {
		return fmt.Errorf("mount %d on %s was made private, and stays so; the unmount then failed: %w", parent.ID, parent.Point, err)
	}
	return nil
}

// patiently tries again what is busy: a monitor that asks a file system how full
// it is uses its mount for a moment, which is long where processors are few.
func patiently(ctx context.Context, act func() error) error {
	const tries, pause = 6, 30 * time.Millisecond
	for n := 1; ; n++ {
		err := act()
		if !errors.Is(err, undo.ErrBusy) || n == tries {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// wanted is the mount of a step.
func wanted(t check.Target) undo.Mount {
	return undo.Mount{ID: t.Mount, Unique: mounts.IsUnique(t.Mount), Point: t.Path, Device: t.Device, Root: t.Root, Super: t.Super}
}

// namespace opens the mount namespace of a step, also one without a process.
func namespace(ctx context.Context, s plan.Step) (int, error) {
	want := mounts.Namespace{Inode: s.Target.MountNamespace, ID: s.Target.MountNamespaceID}
	all, _, err := holders.Pins(ctx, holders.PinRequest{Spaces: []mounts.Namespace{want}, Asked: []uint64{want.Inode}})
	if err != nil {
		return -1, err
	}
	fd, err := census.Open(ctx, "/proc", want, all[want.Inode])
	if errors.Is(err, fs.ErrNotExist) {
		return -1, fmt.Errorf("%w: %w", errNotNeeded, err)
	}
	if err != nil {
		return -1, refusal{fmt.Errorf("open mnt:[%d]: %w: nothing that this process may use leads to it", want.Inode, err)}
	}
	return fd, nil
}

// undone sorts the errors of undo into ours.
func undone(err error) error {
	e, ok := errors.AsType[*undo.Error](err)
	if !ok {
		return err
	}
	switch e.Kind {
	case undo.Gone:
		return fmt.Errorf("%w: %w", errNotNeeded, err)
	case undo.Failed, undo.Unverified:
		return err
	}
	return refusal{err}
}
