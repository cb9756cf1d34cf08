package census

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// The number of a file system that went while the mounts were read is that of
// another one now, which must not have the strings of the first, nor be missed by who
// asks for its own.
func TestDeviceUsedAgainMeanwhile(t *testing.T) {
	asked := func(m *mounts.Mount) bool { return m.Source == "second" }
	for _, tt := range []struct {
		name string
		req  Request
		want []string
	}{
		{"whole", Request{Proc: "/proc", Whole: true}, []string{"second", "stays"}},
		{"question", Request{Proc: "/proc", Passes: 1, About: &Question{Asked: asked}}, []string{"second"}},
	} {
		t.Run(tt.name, func(t *testing.T) { usedAgainMeanwhile(t, tt.req, tt.want) })
	}
}

func usedAgainMeanwhile(t *testing.T, req Request, want []string) {
	needsStatmount(t)
	check, here := inOwnNamespace(t)
	if !here {
		return
	}
	dir := t.TempDir()
	mount := func(source, name string) uint64 {
		at := filepath.Join(dir, name)
		check(os.MkdirAll(at, 0o755))
		check(unix.Mount(source, at, "tmpfs", 0, "size=64k"))
		t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
		var stat unix.Stat_t
		check(unix.Stat(at, &stat))
		return stat.Dev
	}
	ctx := context.Background()
	mount("stays", "stays")
	// The next one gets the lowest number that is free, of the whole machine: others may come first.
	usedAgain := func(r *fastReader, try int) bool {
		first := fmt.Sprintf("first-%d", try)
		was := mount("first", first)
		_, err := r.pass(ctx)
		check(err)
		check(unix.Unmount(filepath.Join(dir, first), 0))
		for i := range 20 {
			if mount("second", fmt.Sprintf("second-%d-%d", try, i)) == was {
				return true
			}
		}
		return false
	}
	var r *fastReader
	for try, again := 0, false; !again; try++ {
		if try == 50 {
			t.Fatal("the number was not used again")
		}
		var err error
		r, err = newFastReader(req)
		check(err)
		defer r.close()
		again = usedAgain(r, try)
	}
	spaces, err := r.pass(ctx)
	check(err)
	check(r.recheck(ctx, spaces))
	var got []string
	for _, ns := range spaces {
		for _, m := range ns.Mounts {
			if filepath.Dir(m.MountPoint) == dir && !slices.Contains(got, m.Source) {
				got = append(got, m.Source)
			}
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("sources %q", got)
	}
}

// What was read by a mount of a namespace that is gone since the pass before is torn.
func TestTornWithItsNamespace(t *testing.T) {
	key := superblock{device: mounts.Device{Minor: 7}, root: "/"}
	r := &fastReader{supers: superblocks{key: {of: key, namespace: 1, id: 2, lives: true}}}
	torn, err := r.torn(t.Context(), nil)
	if err != nil || !torn[key] {
		t.Errorf("torn %v, %v", torn, err)
	}
}

// What is mounted in the process's own namespace is told by that, which will not end meanwhile.
func TestStringsByOwnMounts(t *testing.T) {
	needsStatmount(t)
	check, here := inOwnNamespace(t) // a late one: others are before it by number
	if !here {
		return
	}
	r, err := newFastReader(Request{Proc: "/proc", Whole: true, Passes: 1})
	check(err)
	defer r.close()
	spaces, err := r.pass(t.Context())
	check(err)
	own := slices.IndexFunc(spaces, func(ns mounts.Namespace) bool { return ns.Inode == r.inode })
	if own < 1 || len(spaces[own].Mounts) == 0 {
		t.Fatalf("%d of %d namespaces", own, len(spaces))
	}
	by := map[superblock]uint64{}
	for key, s := range r.supers {
		by[key.anyMagic()] = s.namespace
	}
	for _, m := range spaces[own].Mounts {
		if got := by[superblock{device: m.Device(), root: m.Root}]; got != spaces[own].ID {
			t.Errorf("%s was told by a mount of namespace %d", m.MountPoint, got)
		}
	}
}
