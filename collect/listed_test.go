package collect

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestRuns(t *testing.T) {
	all := []numbers{{8, 16}, {0, 7}, {0, 5}, {0, 6}, {0, 6}, {8, 17}, {0, 9}, {1, 8}, {0, 1<<32 - 1}, {1, 0}}
	want := runs{{0, 5, 7}, {0, 9, 9}, {0, 1<<32 - 1, 1<<32 - 1}, {1, 0, 0}, {1, 8, 8}, {8, 16, 17}}
	if got := runsOf(all); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if runsOf(nil) != nil || runs(nil).has(0, 0) {
		t.Error("none has one")
	}
}

// A set of runs has what a map has.
func TestRunsAreASet(t *testing.T) {
	const major, minor = 3, 40
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var all []numbers
		set := map[numbers]bool{}
		for range r.IntN(60) {
			n := numbers{r.Uint32N(major), r.Uint32N(minor)}
			all, set[n] = append(all, n), true
		}
		runs := runsOf(all)
		for n := (numbers{}); n.major <= major; n.major++ {
			for n.minor = 0; n.minor <= minor; n.minor++ {
				if runs.has(n.major, n.minor) != set[n] {
					t.Fatalf("seed %d: %v is %v in %v", seed, n, set[n], runs)
				}
			}
		}
	}
}
