package holding

import (
	"maps"
	"slices"
	"testing"

	"sexton.dev/snapshot"
)

// In a user namespace's own what came with it is taken for locked: numbers without a gap from the root that is not listed.
func TestBornLocked(t *testing.T) {
	const first = 0xEFFFFFFD
	cloned := []snapshot.Mount{{ID: 20, Parent: 19}, {ID: 21, Parent: 20}, {ID: 22, Parent: 20}, {ID: 30, Parent: 20}}
	pivoted := []snapshot.Mount{{ID: 25, Parent: 19}, {ID: 26, Parent: 25}, {ID: 27, Parent: 25}}
	for _, tt := range []struct {
		name           string
		ns             snapshot.MountNamespace
		likely, unsure []uint64
	}{
		{"cloned", snapshot.MountNamespace{Owner: 5, Mounts: cloned}, []uint64{21, 22}, []uint64{21, 22, 30}},
		{"a root of its own, as a container's", snapshot.MountNamespace{Owner: 5, Mounts: pivoted}, nil, []uint64{26, 27}},
		{"a root without a number below", snapshot.MountNamespace{Owner: 5, Mounts: []snapshot.Mount{{ID: 20, Parent: 20}, {ID: 21, Parent: 20}}}, []uint64{21}, []uint64{21}},
		{"of the host's own user namespace", snapshot.MountNamespace{Owner: first, Mounts: cloned}, nil, nil},
		{"the owner is not known", snapshot.MountNamespace{Mounts: cloned}, nil, nil},
		{"nothing listed", snapshot.MountNamespace{Owner: 5}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Owner: first, Mounts: []snapshot.Mount{{ID: 2, Parent: 1}}}, tt.ns}}
			if got := slices.Sorted(maps.Keys(bornLocked(&tt.ns))); !slices.Equal(got, tt.likely) {
				t.Errorf("likely: %v, want %v", got, tt.likely)
			}
			if got := slices.Sorted(maps.Keys(Unsure(all))); !slices.Equal(got, tt.unsure) {
				t.Errorf("unsure: %v, want %v", got, tt.unsure)
			}
		})
	}
}

// Inside of a rootless container nothing is listed that the host's first user
// namespace owns, and what was copied there is locked all the same.
func TestUnsureWithoutHost(t *testing.T) {
	all := &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Owner: 5, Mounts: []snapshot.Mount{{ID: 20, Parent: 19}, {ID: 21, Parent: 20}}}}}
	if got := slices.Sorted(maps.Keys(Unsure(all))); !slices.Equal(got, []uint64{21}) {
		t.Errorf("unsure: %v", got)
	}
}
