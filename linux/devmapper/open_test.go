package devmapper

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the kernel has no device-mapper its node is not opened: that would load it.
// What is no such node is not opened either.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, misc, node string
		want             error
	}{
		{"not loaded", "237 loop-control\n", "/dev/null", ErrNotLoaded},
		{"no node", "236 device-mapper\n", filepath.Join(dir, "nothing"), ErrNoNode},
		{"a file", "236 device-mapper\n", file, ErrNoNode},
		{"a link", "236 device-mapper\n", link, ErrNoNode},
		{"another device", "236 device-mapper\n", "/dev/null", ErrNoNode},
		{"below a file", "236 device-mapper\n", file + "/x", unix.ENOTDIR},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "misc"), []byte(tt.misc), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Open(dir, tt.node)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if err == nil {
				c.Close()
			}
		})
	}
	if _, err := Open(filepath.Join(dir, "no"), "/dev/null"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a proc: %v", err)
	}
}

func TestHoldDevice(t *testing.T) {
	if _, err := HoldDevice("/dev/null", Number{7, 0}); !errors.Is(err, ErrNoNode) {
		t.Errorf("/dev/null as 7:0: %v", err)
	}
	if _, _, err := ReadThinDevice(filepath.Join(t.TempDir(), "x"), Number{7, 0}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}
