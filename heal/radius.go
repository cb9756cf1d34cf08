package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/census"
	"sexton.dev/plan"
	"sexton.dev/propagation"
)

// onlyThose reads all mounts right before an act and refuses it if one would go by
// now that the step does not name, by either kernel's rule and as if nothing were
// locked. What is used by now the kernel itself refuses to unmount, but not to take
// off a directory that is removed: whole says that all tables must be read, and
// stand still meanwhile.
func onlyThose(ctx context.Context, s plan.Step, whole bool) error {
	c, err := census.Read(ctx, census.Request{Whole: true, Locked: true})
	if err != nil {
		return refusal{err}
	}
	if whole && (!c.Settled || len(c.Unknown) > 0) {
		return refusal{errUnsettled}
	}
	goes, err := effectOf(c, s)
	if err != nil {
		return err
	}
	for _, id := range goes {
		if !slices.Contains(s.Target.Mounts, id) {
			return refusal{fmt.Errorf("mount %d would go along by now, which was not planned: plan again: sexton heal", id)}
		}
	}
	return nil
}

var errUnsettled = errors.New("not all mounts of all mount namespaces can be read at this moment: plan again: sexton heal")

// effectOf is what an act would take away, all by id.
func effectOf(c *census.Census, s plan.Step) (goes []uint64, err error) {
	all, spaces := mountsOf(c)
	table, _ := propagation.New(all, spaces)
	if s.Target.Kind == "mountpoint" {
		e := table.Detach(s.Target.MountNamespace, propagation.Place{Mount: s.Target.Mount, Path: s.Target.Root})
		if goes = e.Gone(); e.Errno != 0 {
			return nil, refusal{fmt.Errorf("%s is a mount point there by now: plan again: sexton heal", s.Target.Path)}
		}
		if len(goes) == 0 {
			return nil, errNotNeeded
		}
		return goes, nil
	}
	if s.Parent != nil {
		made := table.Make(s.Parent.Mount, "private")
		for _, m := range made.Changed {
			if m.Before.ID != s.Parent.Mount && m.Before.Master != m.After.Master {
				return nil, refusal{fmt.Errorf("mount %d receives from mount %d by now, and would not if that were private: plan again: sexton heal", m.Before.ID, s.Parent.Mount)}
			}
		}
		table, _ = propagation.New(made.Apply(all), spaces)
	}
	v := table.Unmount(propagation.Call{Mount: s.Target.Mount, Namespace: s.Target.MountNamespace})
	return append(v.New.Gone(), v.Old.Gone()...), nil // none: the unmount itself says best why not
}

// mountsOf puts a census into the words of propagation. None is locked.
func mountsOf(c *census.Census) (all []propagation.Mount, spaces []propagation.Namespace) {
	for i := range c.Namespaces {
		ns := &c.Namespaces[i]
		spaces = append(spaces, propagation.Namespace{ID: ns.Inode, Owner: ns.Owner})
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			to := propagation.Mount{ID: m.UniqueID, Parent: m.UniqueParent, Namespace: ns.Inode, Peer: uint64(m.Shared), Master: uint64(m.Master),
				Device: unix.Mkdev(m.Major, m.Minor), Root: m.Root, Point: m.MountPoint}
			if to.ID == 0 {
				to.ID, to.Parent = uint64(m.ID), uint64(m.Parent)
			}
			all = append(all, to)
		}
	}
	return all, spaces
}
