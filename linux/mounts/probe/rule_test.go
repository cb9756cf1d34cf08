package probe

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// The kernel does one of the two, the same each time, and nothing of it is left here.
func TestOlder(t *testing.T) {
	hosttest.NeedsRoot(t)
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	before := table(t)
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
	if after := table(t); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func table(t *testing.T) string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
