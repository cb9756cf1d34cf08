package propagation_test

import (
	"fmt"
	"path"
	"slices"

	"sexton.dev/propagation"
)

// A world is what is known of a host.
type world struct {
	mounts []propagation.Mount
	spaces []propagation.Namespace
	names  []string // of spaces
	held   map[uint64]bool
}

func (w *world) table() (*propagation.Table, []propagation.Problem) {
	return propagation.New(w.mounts, w.spaces)
}

// space is the namespace with a name.
func (w *world) space(name string) propagation.Namespace {
	i := slices.Index(w.names, name)
	if i < 0 {
		return propagation.Namespace{}
	}
	return w.spaces[i]
}

func (w *world) name(space uint64) string {
	for i, s := range w.spaces {
		if s.ID == space {
			return w.names[i]
		}
	}
	return "?"
}

// newDevice is the superblock of a tmpfs that a prediction makes.
const newDevice = 1 << 40

// predict asks what a step does.
func (w *world) predict(s step) propagation.Verdict {
	t, _ := w.table()
	both := func(e propagation.Effect) propagation.Verdict { return propagation.Verdict{Old: e, New: e} }
	if s.verb == "=" {
		to := propagation.Namespace{ID: 1, Owner: 1}
		for _, old := range w.spaces {
			to.ID = max(to.ID, old.ID+1)
		}
		if len(s.args) > 1 {
			to.Owner = to.ID
		}
		return t.Clone(w.space(s.args[0]).ID, to)
	}
	ns := w.space(s.space).ID
	at, _ := t.Resolve(ns, s.full(0))
	to, _ := t.Resolve(ns, s.full(1))
	entry := func(n int) propagation.Place { // in its directory, whatever is mounted on it
		dir, _ := t.Resolve(ns, path.Dir(s.full(n)))
		return dir.Join(path.Base(s.full(n)))
	}
	switch s.verb {
	case "mkdir", "hold":
		return both(propagation.Effect{})
	case "tmpfs":
		return both(t.Attach(propagation.Mount{Device: newDevice, Root: "/"}, at))
	case "beneath":
		under, _ := t.On(at.Mount)
		return both(t.Attach(propagation.Mount{Device: newDevice, Root: "/"}, under))
	case "bind", "tree":
		return both(t.Bind(at, false, to))
	case "rbind", "rtree":
		return both(t.Bind(at, true, to))
	case "rmdir":
		return both(t.Detach(ns, entry(0)))
	case "rename":
		if e := t.Detach(ns, entry(0)); e.Errno != 0 {
			return both(e)
		}
		return both(t.Detach(ns, entry(1)))
	}
	if m, _ := t.Mount(at.Mount); m.Root != at.Path { // the rest needs the root of a mount
		return both(propagation.Effect{Errno: 22})
	}
	switch {
	case s.verb == "move":
		return both(t.Move(at.Mount, to))
	case isType(s.verb):
		return both(t.Make(at.Mount, s.verb))
	case s.verb == "umount" || s.verb == "umount-l":
		return t.Unmount(propagation.Call{Mount: at.Mount, Namespace: ns, Lazy: s.verb == "umount-l", Held: w.held})
	}
	panic("no such verb: " + s.String())
}

// A sim is a host that exists in this package's answers alone.
type sim struct {
	world
	old    bool // a kernel before 6.17
	device uint64
}

// newSim has namespace A: a private root, and the shared tmpfs /x.
func newSim(old bool) *sim {
	w := &sim{old: old, device: 1, world: world{
		mounts: []propagation.Mount{{ID: 1, Namespace: 1, Device: 1, Root: "/", Point: "/"}},
		spaces: []propagation.Namespace{{ID: 1, Owner: 1}},
		names:  []string{"A"}, held: map[uint64]bool{},
	}}
	w.do(step{"A", "tmpfs", []string{"/x"}})
	w.do(step{"A", "shared", []string{"/x"}})
	return w
}

// do asks what a step does and makes the answer true.
func (w *sim) do(s step) propagation.Effect {
	if s.verb == "hold" {
		t, _ := w.table()
		at, _ := t.Resolve(w.space(s.space).ID, s.full(0))
		w.held[at.Mount] = true
	}
	v := w.predict(s)
	e := v.New
	if w.old {
		e = v.Old
	}
	w.mounts = e.Apply(w.mounts)
	w.device++
	for i := range w.mounts {
		if w.mounts[i].Device == newDevice {
			w.mounts[i].Device = w.device
		}
	}
	if len(e.Namespace) > 0 {
		w.spaces, w.names = append(w.spaces, e.Namespace...), append(w.names, s.space)
	}
	if _, problems := w.table(); len(problems) > 0 {
		panic(fmt.Sprintf("%s leads to a table that no kernel has: %+v", s, problems))
	}
	return e
}
