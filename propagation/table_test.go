package propagation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/propagation"
)

type mounts = []propagation.Mount

var oneSpace = []propagation.Namespace{{ID: 1, Owner: 1}, {ID: 2, Owner: 1}}

// Tables that no kernel has: each is taken, and what is wrong is said.
func TestHostileTables(t *testing.T) {
	root := propagation.Mount{ID: 1, Namespace: 1, Root: "/", Point: "/"}
	for _, tt := range []struct {
		name string
		in   mounts
		want []string // part of each problem
	}{
		{"nothing", nil, nil},
		{"the root is its own parent", mounts{{ID: 1, Parent: 1, Namespace: 1, Root: "/", Point: "/"}}, nil},
		{"a master that has no other problem", mounts{root, {ID: 2, Parent: 1, Namespace: 1, Root: "/", Point: "/a", Peer: 3, Master: 3}}, nil},
		{"an id twice", mounts{root, root}, []string{"listed twice"}},
		{"no id", mounts{{Namespace: 1}}, []string{"without an id"}},
		{"two parents unlisted", mounts{root, {ID: 2, Parent: 9, Namespace: 1, Point: "/a"}}, []string{"its parent 9 is not listed"}},
		{"a circle", mounts{root, {ID: 2, Parent: 3, Namespace: 1}, {ID: 3, Parent: 2, Namespace: 1}}, []string{"circle", "not listed", "very place"}[:2]},
		{"a parent elsewhere", mounts{root, {ID: 2, Parent: 1, Namespace: 2, Point: "/a"}}, []string{"another namespace"}},
		{"a namespace unlisted", mounts{{ID: 1, Namespace: 7, Root: "/", Point: "/"}}, []string{"namespace 7 is not listed"}},
		{"a point beside the parent's", mounts{root, {ID: 2, Parent: 1, Namespace: 1, Root: "/", Point: "/ab"}, {ID: 3, Parent: 2, Namespace: 1, Root: "/", Point: "/abc"}}, []string{`on "/abc", but its parent 2 on "/ab"`}},
		{"one place twice", mounts{root, {ID: 2, Parent: 1, Namespace: 1, Root: "/", Point: "/a"}, {ID: 3, Parent: 1, Namespace: 1, Root: "/", Point: "/a"}}, []string{"place of mount 2"}},
		{"peers with two masters", mounts{{ID: 1, Namespace: 1, Root: "/", Point: "/", Peer: 5, Master: 5}, {ID: 2, Namespace: 2, Root: "/", Point: "/", Peer: 5}}, []string{"receives from 0 here"}},
		{"a master that nobody is in", mounts{{ID: 1, Namespace: 1, Root: "/", Point: "/", Master: 5}}, []string{"group 5, and nobody"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, problems := propagation.New(tt.in, oneSpace)
			if len(problems) != len(tt.want) {
				t.Fatalf("problems: %+v, want %q", problems, tt.want)
			}
			for i, p := range problems {
				if !slices.ContainsFunc(tt.want, func(w string) bool { return strings.Contains(p.Text, w) }) {
					t.Errorf("problem %d: %+v, want %q", i, p, tt.want)
				}
			}
			askAll(t, table, tt.in)
		})
	}
}

// Roots of binds whose source was removed count without the suffix that says so.
func TestDeletedRoot(t *testing.T) {
	in := mounts{
		{ID: 1, Namespace: 1, Device: 1, Root: "/", Point: "/", Peer: 1},
		{ID: 2, Parent: 1, Namespace: 1, Device: 1, Root: "/src//deleted", Point: "/b", Peer: 2},
		{ID: 3, Parent: 2, Namespace: 1, Device: 2, Root: "/", Point: "/b/v"},
	}
	table, _ := propagation.New(in, oneSpace)
	if at, ok := table.On(3); !ok || at != (propagation.Place{Mount: 2, Path: "/src/v"}) {
		t.Errorf("mount 3 is on %+v, %v", at, ok)
	}
}

// The way of an event, as it would be drawn.
func TestReceivers(t *testing.T) {
	steps, err := parseSteps("B=A; C=A; C rslave .; C rshared .; D=C; D rslave .; E=A; E rprivate .")
	if err != nil {
		t.Fatal(err)
	}
	w := newSim(false)
	for _, s := range steps {
		w.do(s)
	}
	table, _ := w.table()
	at, _ := table.Resolve(1, "/x")
	var got []string
	for _, r := range table.Receivers(at.Mount) {
		m, _ := table.Mount(r.Mount)
		hops := 0
		for hop := r.Via; hop.From != nil; hop = hop.From {
			hops++
		}
		got = append(got, fmt.Sprintf("%s slave=%v hops=%d", w.name(m.Namespace), r.Slave, hops))
	}
	if diff := cmp.Diff([]string{"B slave=false hops=0", "C slave=false hops=1", "D slave=true hops=1"}, got); diff != "" {
		t.Error(diff)
	}
	if left := table.Receivers(999); left != nil {
		t.Errorf("a mount that is not listed has receivers: %v", left)
	}
}

// A copied tree whose root is covered goes beneath what is there with its cover on.
func TestBeneathCovered(t *testing.T) {
	in := mounts{
		{ID: 1, Namespace: 1, Device: 1, Root: "/", Point: "/"},
		{ID: 2, Parent: 1, Namespace: 1, Device: 2, Root: "/", Point: "/p"},
		{ID: 3, Parent: 2, Namespace: 1, Device: 3, Root: "/", Point: "/p"},
		{ID: 4, Parent: 1, Namespace: 1, Device: 4, Root: "/", Point: "/q"},
	}
	table, _ := propagation.New(in, oneSpace)
	e := table.Bind(propagation.Place{Mount: 2, Path: "/"}, true, propagation.Place{Mount: 1, Path: "/q"})
	if len(e.Made) != 2 || len(e.Changed) != 1 || e.Changed[0].After.Parent != e.Made[1].ID {
		t.Errorf("got %+v", e)
	}
}

// Questions that cannot be asked are refused with the reason.
func TestRefused(t *testing.T) {
	in := mounts{{ID: 1, Namespace: 1, Root: "/", Point: "/"}, {ID: 2, Parent: 1, Namespace: 1, Root: "/", Point: "/"}, {ID: 3, Parent: 2, Namespace: 1, Device: 2, Root: "/", Point: "/a"}, {ID: 4, Namespace: 2, Root: "/", Point: "/"}}
	table, problems := propagation.New(in, oneSpace)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	here := propagation.Place{Mount: 2, Path: "/"}
	nowhere := propagation.Place{Mount: 99, Path: "/"}
	for _, tt := range []struct {
		name string
		got  propagation.Effect
		want propagation.Reason
	}{
		{"unmount of nothing", table.Unmount(propagation.Call{Mount: 99, Namespace: 1}).New, propagation.Unknown},
		{"unmount from elsewhere", table.Unmount(propagation.Call{Mount: 3, Namespace: 2}).New, propagation.Elsewhere},
		{"unmount of a root", table.Unmount(propagation.Call{Mount: 1, Namespace: 1}).New, propagation.Root},
		{"unmount of what is on /", table.Unmount(propagation.Call{Mount: 2, Namespace: 1, Lazy: true}).New, propagation.Root},
		{"no such type", table.Make(3, "sheared"), propagation.Unknown},
		{"type of nothing", table.Make(99, "shared"), propagation.Unknown},
		{"detach nowhere", table.Detach(1, nowhere), propagation.Unknown},
		{"attach nowhere", table.Attach(propagation.Mount{Root: "/"}, nowhere), propagation.Unknown},
		{"bind of nothing", table.Bind(nowhere, true, here), propagation.Unknown},
		{"bind from elsewhere", table.Bind(propagation.Place{Mount: 4, Path: "/"}, false, here), propagation.Elsewhere},
		{"move of a root", table.Move(1, here), propagation.Root},
		{"move of nothing", table.Move(99, here), propagation.Unknown},
		{"move to elsewhere", table.Move(3, propagation.Place{Mount: 4, Path: "/"}), propagation.Elsewhere},
		{"clone of nothing", table.Clone(9, propagation.Namespace{ID: 10}).New, propagation.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got.Errno != 22 || tt.got.Refused.Why != tt.want {
				t.Errorf("got errno %d, %+v; want 22, %s", tt.got.Errno, tt.got.Refused, tt.want)
			}
			if diff := cmp.Diff(in, tt.got.Apply(in)); diff != "" {
				t.Errorf("a refused call changes: %s", diff)
			}
		})
	}
}
