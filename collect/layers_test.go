package collect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
)

// What is in a directory that two targets name is in each of both.
func TestLayersOf(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"d", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var root, in unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "d"), &root); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(filepath.Join(dir, "d/in"), &in); err != nil {
		t.Fatal(err)
	}
	d, same, other := dir+"/d", dir+"/./d", dir+"/other"
	all := findLayers("/proc", []Layer{{Dir: other}, {Dir: d}, {Dir: same}, {Dir: d}, {Dir: dir + "/none"}})
	overlay := mounts.Device{Major: 0, Minor: 1 << 19}
	for _, tt := range []struct {
		name string
		ref  holders.Ref
		want []string
	}{
		{"its root", holders.Ref{Device: overlay, Inode: root.Ino, Link: "/"}, []string{d, same}},
		{"a file in it", holders.Ref{Device: overlay, Inode: in.Ino, Link: "/in"}, []string{d, same}},
		{"another file of that name", holders.Ref{Device: overlay, Inode: 1, Link: "/in"}, nil},
		{"known by its path alone", holders.Ref{Kind: holders.IOURing, Link: "/in"}, nil},
		{"known by its path alone, which is not there", holders.Ref{Kind: holders.IOURing, Link: "/none"}, nil},
		{"the directory itself", holders.Ref{Device: mounts.Device{Major: unix.Major(root.Dev), Minor: unix.Minor(root.Dev)}, Inode: root.Ino, Link: d}, nil},
	} {
		if got := all.of("/proc", &tt.ref); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
