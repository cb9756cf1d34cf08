package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/undo"
	"sexton.dev/plan"
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
	if err := onlyThose(ctx, s, true); err != nil { // after the look at the directory: what is at the path later must be that one
		return err
	}
	return undone(undo.RemoveMountpoint(ns, dir, func(old undo.Saved) error { return note(old) }, renamed(ctx, s)))
}

// renamed refuses if by now a mount would go that a step does not name, with its
// directory under another name.
func renamed(ctx context.Context, s plan.Step) func(string) error {
	return func(name string) error {
		s.Target.Root = path.Join(path.Dir(s.Target.Root), name)
		const tries = 5
		err := error(refusal{errUnsettled})
		for n := 0; n < tries && errors.Is(err, errUnsettled); n++ {
			err = onlyThose(ctx, s, true)
		}
		if err == nil || errors.Is(err, errNotNeeded) {
			return nil
		}
		return &undo.Error{Kind: undo.Other, Text: err.Error()}
	}
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
	return undone(undo.Restore(ns, old, renamed(ctx, s)))
}
