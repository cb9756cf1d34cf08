package collect

import (
	"slices"
	"testing"

	"sexton.dev/snapshot"
)

// Of a namespace that is bound in another, the processes of that one are read too, and
// so on: each once, however often it is bound.
func TestKeeping(t *testing.T) {
	const spaces, binds = 30, 300
	all := &snapshot.Mounts{References: []snapshot.Reference{{PID: 7}, {PID: 0}, {PID: 7}}}
	for i := range uint64(spaces) {
		ns := snapshot.MountNamespace{Inode: i, Pins: []snapshot.Pin{{Kind: "process", PID: int(1000 + i)}, {Kind: "process", PID: int(100 + i)}, {Kind: "fd", PID: 8}}}
		for range binds {
			ns.Pins = append(ns.Pins, snapshot.Pin{Kind: "bind", Namespace: (i + 1) % spaces}) // as no kernel lets it be, in a ring
		}
		all.Namespaces = append(all.Namespaces, ns)
	}
	all.Namespaces = append(all.Namespaces, snapshot.MountNamespace{Inode: spaces, Pins: []snapshot.Pin{{Kind: "process", PID: 9}}})
	want := []int{7, 8}
	for i := range spaces {
		want = append(want, 100+i)
	}
	if got := keeping(all, &Asked{Namespaces: []uint64{3, 99}}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := keeping(all, nil); len(got) != len(want)+1 {
		t.Errorf("of all: %v", got)
	}
}
