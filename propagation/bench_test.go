package propagation_test

import (
	"fmt"
	"testing"

	"sexton.dev/propagation"
)

// bigHost has n namespaces that are slaves of the first, each with 103 mounts.
func bigHost(n int) (all mounts, spaces []propagation.Namespace) {
	const each = 103
	for s := range uint64(n) {
		spaces = append(spaces, propagation.Namespace{ID: s + 1, Owner: 1})
		for i := range uint64(each) {
			m := propagation.Mount{ID: s*each + i + 1, Namespace: s + 1, Device: i + 1, Root: "/", Point: "/", Peer: i + 1}
			if i > 0 {
				m.Parent, m.Point = s*each+1, fmt.Sprintf("/var/lib/containers/%04d/merged", i)
			}
			if s > 0 {
				m.Peer, m.Master = 0, i+1
			}
			all = append(all, m)
		}
	}
	return all, spaces
}

func BenchmarkNew(b *testing.B) {
	all, spaces := bigHost(1000)
	for b.Loop() {
		propagation.New(all, spaces)
	}
}

func BenchmarkUnmount(b *testing.B) {
	all, spaces := bigHost(1000)
	table, problems := propagation.New(all, spaces)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	for _, bb := range []struct {
		name string
		call propagation.Call
		gone int
	}{
		{"copies=999", propagation.Call{Mount: 2, Namespace: 1}, 1000},
		{"copies=0", propagation.Call{Mount: 105, Namespace: 2}, 1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				if v := table.Unmount(bb.call); len(v.New.Gone()) != bb.gone {
					b.Fatalf("%d go", len(v.New.Gone()))
				}
			}
		})
	}
}

// A mount bound on itself again and again is in one group with all its copies, thousands on a real
// host: the work must not grow with the square.
func BenchmarkUnmountMultiplied(b *testing.B) {
	all := mounts{{ID: 1, Namespace: 1, Device: 1, Root: "/", Point: "/"}}
	for i := range uint64(32768) {
		all = append(all, propagation.Mount{ID: i + 2, Parent: i + 1, Namespace: 1, Device: 2, Root: "/", Point: "/p", Peer: 1})
	}
	table, problems := propagation.New(all, oneSpace)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	for b.Loop() {
		table.Unmount(propagation.Call{Mount: 2, Namespace: 1, Lazy: true})
	}
}
