package holders_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/bpf"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/mountstest"
)

// On a host of many processes, what keeps a namespace that is asked about, or one in which
// that is bound, is the same as where all processes are looked at; others are not.
func TestPinsOfAsked(t *testing.T) {
	hosttest.NeedsRoot(t)
	_, err := bpf.Tasks()
	hosttest.Needs(t, "bpf", err == nil, fmt.Sprint(err))
	hosttest.NeedsKernelThreads(t)
	h := mountstest.Start(t, 70, 0, 4)
	pins := func(spaces []mounts.Namespace, asked []uint64) map[uint64][]holders.Pin {
		t.Helper()
		all, _, err := holders.Pins(t.Context(), holders.PinRequest{Spaces: spaces, Asked: asked, Only: true, InFlight: true})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, p := range h.Plants {
		if p.Namespace == 0 {
			continue
		}
		hosttest.Until(t, 20*time.Second, p.Kind+" is kept by the same", func() bool {
			c, err := census.Read(t.Context(), census.Request{Whole: true, Passes: 1})
			if err != nil {
				t.Fatal(err)
			}
			asked := []uint64{p.Namespace}
			all, some := pins(c.Namespaces, nil), pins(c.Namespaces, asked)
			for i := 0; i < len(asked); i++ {
				if diff := cmp.Diff(all[asked[i]], some[asked[i]]); diff != "" {
					t.Logf("%s, mnt:[%d] (-all +asked)\n%s", p.Kind, asked[i], diff)
					return false
				}
				for _, pin := range some[asked[i]] {
					if pin.Kind == holders.Bind && !slices.Contains(asked, pin.Namespace) {
						asked = append(asked, pin.Namespace)
					}
				}
			}
			left := 0
			for inode := range all {
				if len(some[inode]) == 0 {
					left++
				}
			}
			return left > 50
		})
	}
}
