package propagation_test

import (
	"testing"

	"sexton.dev/propagation"
)

// Another lock changes the answer of the new table and leaves the old one as it was.
func TestRelock(t *testing.T) {
	table, _ := propagation.New([]propagation.Mount{
		{ID: 1, Namespace: 1, Device: 1, Root: "/", Point: "/"}, {ID: 2, Parent: 1, Namespace: 1, Device: 2, Root: "/", Point: "/p"},
	}, []propagation.Namespace{{ID: 1}})
	call := propagation.Call{Mount: 2, Namespace: 1}
	locked := table.Relock(map[uint64]bool{2: true, 99: true})
	for name, tt := range map[string]struct {
		t     *propagation.Table
		errno int
	}{"before": {table, 0}, "locked": {locked, 22}, "and back": {locked.Relock(map[uint64]bool{2: false}), 0}} {
		if got := tt.t.Unmount(call).New.Errno; got != tt.errno {
			t.Errorf("%s: errno %d, want %d", name, got, tt.errno)
		}
	}
}
