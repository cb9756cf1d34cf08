package census

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// An overlay is left where a layer of it is on the superblock that was chosen,
// though its own device is another; one that stands elsewhere is not.
func TestDeviceOfLayers(t *testing.T) {
	check, here := inOwnNamespace(t)
	if !here {
		return
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"chosen", "chosen-not"} {
		check(os.Mkdir(at(name), 0o755))
		check(unix.Mount(name, at(name), "tmpfs", 0, "size=64k"))
		t.Cleanup(func() { unix.Unmount(at(name), unix.MNT_DETACH) }) // or the directory cannot be removed
		check(os.Mkdir(at(name+"/lower"), 0o755))
		check(os.Mkdir(at(name+"/more"), 0o755))
		check(os.Mkdir(at("on "+name), 0o755))
		check(unix.Mount("on "+name, at("on "+name), "overlay", 0, "lowerdir="+at(name+"/more")+":"+at(name+"/lower")))
		t.Cleanup(func() { unix.Unmount(at("on "+name), unix.MNT_DETACH) })
	}
	var stat unix.Stat_t
	check(unix.Stat(at("chosen"), &stat))
	ways := []Way{Mountinfo}
	if way, _ := Detect("/proc"); way == Statmount {
		ways = append(ways, way)
	}
	for _, way := range ways {
		c := read(t, Request{Way: way, Passes: 1, Device: func(major, minor uint32) bool {
			return major == unix.Major(stat.Dev) && minor == unix.Minor(stat.Dev)
		}})
		var got []string
		for _, ns := range c.Namespaces {
			for _, m := range ns.Mounts {
				if _, binds := mounts.BoundNamespace(&m); !binds {
					got = append(got, m.Source+" "+m.MountPoint+" "+m.Type)
				}
			}
		}
		if want := []string{"chosen " + at("chosen") + " tmpfs", "on chosen " + at("on chosen") + " overlay"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", way, got, want)
		}
	}
}

func TestStandsOn(t *testing.T) {
	for _, tt := range []struct {
		name, super string
		point       string
		want        bool
	}{
		{"below", "rw,lowerdir=/a:/mnt/d/l,upperdir=/u,workdir=/w", "/mnt/d", true},
		{"at it", "rw,lowerdir=/mnt/d", "/mnt/d", true},
		{"upper", "rw,lowerdir=/a,upperdir=/mnt/d/u,workdir=/w", "/mnt/d", true},
		{"a name that begins so", "rw,lowerdir=/mnt/disk", "/mnt/d", false},
		{"root", "rw,lowerdir=/a", "/", true},
		{"a comma that forges an option", `rw,lowerdir=/a\054upperdir=/mnt/d`, "/mnt/d", false},
		{"another option", "rw,redirect_dir=/mnt/d", "/mnt/d", false},
	} {
		if got := standsOn(&mounts.Mount{Type: "overlay", Super: tt.super}, []string{"/x", tt.point}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if standsOn(&mounts.Mount{Type: "tmpfs", Super: "rw,lowerdir=/x"}, []string{"/x"}) {
		t.Error("no overlay, and it stands on layers")
	}
}
