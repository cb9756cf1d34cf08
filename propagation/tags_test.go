package propagation_test

import (
	"testing"

	"sexton.dev/propagation"
)

func TestTags(t *testing.T) {
	for want, groups := range map[string][2]uint64{"": {0, 0}, "shared:1": {1, 0}, "master:2": {0, 2}, "shared:1 master:2": {1, 2}} {
		if got := propagation.Tags(groups[0], groups[1]); got != want {
			t.Errorf("%v: %q, want %q", groups, got, want)
		}
	}
}
