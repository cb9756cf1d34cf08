package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/undo"
	"sexton.dev/plan"
	"sexton.dev/propagation"
)

// removeMountpoint replaces the very directory that a step names, if no mount would
// go but those that the step names. All of the old one is written down before.
func removeMountpoint(ctx context.Context, s plan.Step, note func(any) error) error {
	ns, err := namespace(ctx, s)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	dir, err := undo.FindDirectory(ns, s.Target.Path, s.Target.Mount)
	if err != nil {
		return undone(err)
	}
	if err := onlyThose(ctx, s); err != nil { // after the look at the directory: what is at the path later must be that one
		return err
	}
	return undone(undo.RemoveMountpoint(ns, dir, func(old undo.Saved) error { return note(old) }))
}

// onlyThose refuses if another mount than a step names is on its directory.
func onlyThose(ctx context.Context, s plan.Step) error {
	c, err := census.Read(ctx, census.Request{Whole: true})
	if err != nil {
		return refusal{err}
	}
	if !c.Settled || len(c.Unknown) > 0 {
		return refusal{errors.New("not all mounts of all mount namespaces can be read at this moment: plan again: sexton heal")}
	}
	table, _ := propagation.New(mountsOf(c))
	e := table.Detach(s.Target.MountNamespace, propagation.Place{Mount: s.Target.Mount, Path: s.Target.Root})
	gone := e.Gone()
	switch other := slices.IndexFunc(gone, func(id uint64) bool { return !slices.Contains(s.Target.Mounts, id) }); {
	case e.Errno != 0:
		return refusal{fmt.Errorf("%s is a mount point there by now: plan again: sexton heal", s.Target.Path)}
	case other >= 0:
		return refusal{fmt.Errorf("mount %d would go along by now, which was not planned: plan again: sexton heal", gone[other])}
	case len(gone) == 0:
		return errNotNeeded
	}
	return nil
}

// mountsOf puts a census into the words of propagation. Locks do not matter here.
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

// restoreMountpoint finishes or takes back a removal that was cut short.
func restoreMountpoint(ctx context.Context, s plan.Step, note json.RawMessage) error {
	var old undo.Saved
	if err := json.Unmarshal(note, &old); err != nil {
		return refusal{fmt.Errorf("the journal's note: %w", err)}
	}
	ns, err := namespace(ctx, s)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	return undone(undo.Restore(ns, old))
}
