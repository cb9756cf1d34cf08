package holders

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"sexton.dev/internal/hosttest"
)

// What the kernel cannot be asked is looked for in all processes.
func TestNumbered(t *testing.T) {
	hosttest.NeedsKernelThreads(t)
	other := t.TempDir()
	if err := os.Symlink(strconv.Itoa(os.Getpid()+1), filepath.Join(other, "self")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, proc string
		few        uint64
		want       error
	}{
		{"this one", "/proc", 1, nil},
		{"few processes", "/proc", 1 << 40, ErrFew},
		{"of another namespace", other, 0, ErrOtherNumbers},
		{"without our own", t.TempDir(), 0, os.ErrNotExist},
		{"none", filepath.Join(other, "none"), 0, os.ErrNotExist},
	} {
		if err := Numbered(tt.proc, tt.few); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
