package probe

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
)

// The kernel does one of the two, the same each time, and nothing of it is left here.
func TestOlder(t *testing.T) {
	hosttest.NeedsRoot(t)
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	own := func() string {
		return fmt.Sprint(table(t, os.Getpid(), func(m mounts.Mount) bool { return m.Source == "sexton" }))
	}
	before := own()
	for range 20 {
		older, err := Older("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for prefix, want := range map[string]bool{"6.1.": true, "6.18.": false} { // the kernels that were looked at
			if strings.HasPrefix(release, prefix) && older != want {
				t.Errorf("%s: older %v", release, older)
			}
		}
	}
	if after := own(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
