package collect

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"sexton.dev/linux/mounts"
)

func TestRuns(t *testing.T) {
	all := devicesOf([]string{"8:16", "0:7", "0:5", "0:6", "0:6", "8:17", "0:9", "1:8", "0:4294967295", "1:0"})
	want := runs{{0, 5, 7}, {0, 9, 9}, {0, 1<<32 - 1, 1<<32 - 1}, {1, 0, 0}, {1, 8, 8}, {8, 16, 17}}
	if got := runsOf(all); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if runsOf(nil) != nil || runs(nil).has(mounts.Device{}) {
		t.Error("none has one")
	}
}

// A set of runs has what a map has.
func TestRunsAreASet(t *testing.T) {
	const major, minor = 3, 40
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var all []mounts.Device
		set := map[mounts.Device]bool{}
		for range r.IntN(60) {
			n := mounts.Device{Major: r.Uint32N(major), Minor: r.Uint32N(minor)}
			all, set[n] = append(all, n), true
		}
		runs := runsOf(all)
		for n := (mounts.Device{}); n.Major <= major; n.Major++ {
			for n.Minor = 0; n.Minor <= minor; n.Minor++ {
				if runs.has(n) != set[n] {
					t.Fatalf("seed %d: %v is %v in %v", seed, n, set[n], runs)
				}
			}
		}
	}
}
