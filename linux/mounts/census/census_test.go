package census

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/linux/mounts"
)

func TestMoved(t *testing.T) {
	space := func(inode uint64, ids ...int) mounts.Namespace {
		ns := mounts.Namespace{Inode: inode, ID: inode}
		for _, id := range ids {
			ns.Mounts = append(ns.Mounts, mounts.Mount{ID: id})
		}
		return ns
	}
	change := func(f func(*mounts.Mount)) []mounts.Namespace {
		ns := space(2, 20, 21)
		f(&ns.Mounts[1])
		return []mounts.Namespace{space(1, 10), ns, space(3, 30)}
	}
	before := []mounts.Namespace{space(1, 10), space(2, 20, 21), space(3, 30)}
	for _, tt := range []struct {
		name string
		now  []mounts.Namespace
		want []uint64
	}{
		{"the same", change(func(*mounts.Mount) {}), nil},
		{"strings do not count", change(func(m *mounts.Mount) { m.MountPoint = "/x" }), nil},
		{"the options of a mount do not count", change(func(m *mounts.Mount) { m.Options = "ro" }), nil},
		{"another mount", change(func(m *mounts.Mount) { m.ID = 22 }), []uint64{2}},
		{"the same number again", change(func(m *mounts.Mount) { m.UniqueID = 1 }), []uint64{2}},
		{"slid down", change(func(m *mounts.Mount) { m.UniqueParent = 1 }), []uint64{2}},
		{"other parent", change(func(m *mounts.Mount) { m.Parent = 1 }), []uint64{2}},
		{"shared", change(func(m *mounts.Mount) { m.Shared = 1 }), []uint64{2}},
		{"slave", change(func(m *mounts.Mount) { m.Master = 1 }), []uint64{2}},
		{"unbindable", change(func(m *mounts.Mount) { m.Unbindable = true }), []uint64{2}},
		{"other device", change(func(m *mounts.Mount) { m.Minor = 1 }), []uint64{2}},
		{"one mount less", []mounts.Namespace{space(1, 10), space(2, 20), space(3, 30)}, []uint64{2}},
		{"the first is gone", before[1:], []uint64{1}},
		{"the last is gone", before[:2], []uint64{3}},
		{"new ones on both ends", slices.Concat([]mounts.Namespace{space(0)}, before, []mounts.Namespace{space(4)}), []uint64{0, 4}},
		{"another with the inode of one that ended", []mounts.Namespace{before[0], before[1], {Inode: 3, ID: 9, Mounts: before[2].Mounts}}, []uint64{3}},
		{"nothing left", nil, []uint64{1, 2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, moved(before, tt.now)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			slices.Reverse(tt.want)
			back := moved(tt.now, before)
			slices.Reverse(back)
			if !slices.Equal(tt.want, back) {
				t.Errorf("the other way round: %v, want %v", back, tt.want)
			}
		})
	}
}

// Passes are repeated until two are equal, and no longer than was said.
func TestSettle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		passes int
		ids    []int // of the one mount, pass by pass
		want   Census
	}{
		{"at once", 5, []int{1, 1}, Census{Passes: 2, Settled: true}},
		{"at last", 4, []int{1, 2, 3, 3}, Census{Passes: 4, Settled: true}},
		{"never", 3, []int{1, 2, 3}, Census{Passes: 3, Moving: []uint64{7}}},
		{"back and forth", 4, []int{1, 2, 1, 2}, Census{Passes: 4, Moving: []uint64{7}}},
		{"one pass proves nothing", 1, []int{1}, Census{Passes: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, n := Census{}, 0
			err := c.settle(context.Background(), tt.passes, func(context.Context) ([]mounts.Namespace, error) {
				n++
				return []mounts.Namespace{{Inode: 7, Mounts: []mounts.Mount{{ID: tt.ids[n-1]}}}}, nil
			})
			if err != nil || n != len(tt.ids) || c.Namespaces[0].Mounts[0].ID != tt.ids[n-1] {
				t.Errorf("%v after %d passes: %+v", err, n, c.Namespaces)
			}
			c.Namespaces = nil
			if diff := cmp.Diff(tt.want, c); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	boom := errors.New("boom")
	var c Census
	if err := c.settle(context.Background(), 5, func(context.Context) ([]mounts.Namespace, error) { return nil, boom }); err != boom {
		t.Errorf("got %v", err)
	}
}
