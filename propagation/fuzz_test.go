package propagation_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/propagation"
)

// FuzzTable builds tables of bytes, most of them contradictory, and asks everything of each mount.
func FuzzTable(f *testing.F) {
	f.Add([]byte{1, 0, 1, 1, 0, 0, 0, 0, 2, 1, 1, 2, 1, 1, 1, 0, 3, 2, 1, 2, 2, 1, 1, 3})
	f.Add([]byte{1, 2, 1, 1, 1, 0, 0, 0, 2, 1, 1, 1, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		paths := []string{"/", "/a", "/a/b", "/b", "", "a", "//deleted", "/a//deleted"}
		var in mounts
		for ; len(data) >= 8 && len(in) < 40; data = data[8:] {
			in = append(in, propagation.Mount{
				ID: uint64(data[0] % 32), Parent: uint64(data[1] % 32), Namespace: uint64(data[2] % 4),
				Peer: uint64(data[3] % 6), Master: uint64(data[4] % 6), Device: uint64(data[5] % 3),
				Root: paths[data[6]%8], Point: paths[data[6]>>4%8],
				Locked: data[7]&1 != 0, Unbindable: data[7]&2 != 0,
			})
		}
		before := slices.Clone(in)
		table, _ := propagation.New(in, oneSpace)
		askAll(t, table, in)
		if diff := cmp.Diff(before, in); diff != "" {
			t.Errorf("asking changed the table: %s", diff)
		}
	})
}

// askAll asks everything of each mount. Whatever the table is, an answer must be consistent.
func askAll(t *testing.T, table *propagation.Table, in mounts) {
	t.Helper()
	for _, m := range in {
		table.Receivers(m.ID)
		for _, lazy := range []bool{false, true} {
			call := propagation.Call{Mount: m.ID, Namespace: m.Namespace, Lazy: lazy, Held: map[uint64]bool{2: true}}
			v := table.Unmount(call)
			if diff := cmp.Diff(v, table.Unmount(call)); diff != "" {
				t.Fatalf("two answers to one question: %s", diff)
			}
			consistent(t, table, in, v.Old)
			consistent(t, table, in, v.New)
		}
		for _, kind := range []string{"rshared", "slave", "rprivate", "unbindable"} {
			consistent(t, table, in, table.Make(m.ID, kind))
		}
		v := table.Clone(m.Namespace, propagation.Namespace{ID: 9, Owner: m.ID % 3})
		consistent(t, table, in, v.Old)
		consistent(t, table, in, v.New)
		at := propagation.Place{Mount: m.ID, Path: m.Root}
		for _, to := range []propagation.Place{at, at.Join("a"), {Mount: m.Parent, Path: "/a"}} {
			consistent(t, table, in, table.Detach(m.Namespace, to))
			consistent(t, table, in, table.Attach(propagation.Mount{Device: 9, Root: "/"}, to))
			consistent(t, table, in, table.Bind(at, true, to))
			consistent(t, table, in, table.Bind(at, false, to))
			consistent(t, table, in, table.Move(m.ID, to))
		}
		table.Resolve(m.Namespace, m.Point)
	}
}

// consistent holds what is true of every effect.
func consistent(t *testing.T, table *propagation.Table, in mounts, e propagation.Effect) {
	t.Helper()
	if e.Errno != 0 && (len(e.Fates)+len(e.Changed)+len(e.Made)+len(e.Died) > 0 || e.Refused.Why == "") {
		t.Fatalf("refused, and yet: %+v", e)
	}
	gone := map[uint64]bool{}
	for _, f := range e.Fates {
		if _, listed := table.Mount(f.Mount); !listed || f.Why == "" {
			t.Fatalf("the fate of what is not listed, or without a reason: %+v", f)
		}
		if f.Goes && gone[f.Mount] {
			t.Fatalf("mount %d goes twice", f.Mount)
		}
		gone[f.Mount] = gone[f.Mount] || f.Goes
	}
	for _, f := range e.Fates {
		if !f.Goes && gone[f.Mount] {
			t.Fatalf("mount %d goes and stays", f.Mount)
		}
	}
	parents := map[uint64]uint64{}
	for _, c := range e.Changed {
		if gone[c.Before.ID] || c.Before == c.After || c.Before.ID != c.After.ID {
			t.Fatalf("no such change: %+v", c)
		}
		parents[c.Before.ID] = c.After.Parent
	}
	for _, m := range in {
		parent, changed := parents[m.ID]
		if on, inner := table.On(m.ID); inner && !changed {
			parent = on.Mount
		}
		if gone[parent] && !gone[m.ID] {
			if _, inner := table.On(m.ID); inner {
				t.Fatalf("mount %d stays on mount %d, which goes", m.ID, parent)
			}
		}
	}
	made := map[uint64]bool{}
	for _, m := range e.Made {
		if _, listed := table.Mount(m.ID); listed || made[m.ID] {
			t.Fatalf("a new mount with a known id: %+v", m)
		}
		made[m.ID] = true
	}
}
