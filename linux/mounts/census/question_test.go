package census

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
)

// What a question leaves: the superblock that is asked about, by its number or by a
// text, and overlays with a layer on it, though their own device is another; what is
// near; overlays with a layer below a path; and of those beside each other one, if
// texts are asked for.
func TestQuestion(t *testing.T) {
	check, here := inOwnNamespace(t)
	if !here {
		return
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	mount := func(source, kind, options string) {
		check(os.Mkdir(at(source), 0o755))
		check(unix.Mount(source, at(source), kind, 0, options))
		t.Cleanup(func() { unix.Unmount(at(source), unix.MNT_DETACH) }) // or the directory cannot be removed
	}
	for _, name := range []string{"chosen", "other"} {
		mount(name, "tmpfs", "size=64k")
		check(os.Mkdir(at(name+"/lower"), 0o755))
		check(os.Mkdir(at(name+"/more"), 0o755))
		mount("on "+name, "overlay", "lowerdir="+at(name+"/more")+":"+at(name+"/lower"))
	}
	mount("chosen/sub", "tmpfs", "size=64k")
	mount("store", "tmpfs", "size=64k")
	for _, id := range []string{"1", "2"} {
		check(os.MkdirAll(at("store/"+id+"/diff"), 0o755))
		check(os.Mkdir(at("store/"+id+"/work"), 0o755))
		mount("beside "+id, "overlay", "lowerdir="+at("other/lower")+",upperdir="+at("store/"+id+"/diff")+",workdir="+at("store/"+id+"/work"))
	}
	var stat unix.Stat_t
	check(unix.Stat(at("chosen"), &stat))
	device := func(d mounts.Device) bool {
		return d == mounts.Device{Major: unix.Major(stat.Dev), Minor: unix.Minor(stat.Dev)}
	}
	text := func(m *mounts.Mount) bool { return m.Source == "chosen" }
	none := func(*mounts.Mount) bool { return false }
	ways := []Way{Mountinfo}
	if way, _ := Detect("/proc"); way == Statmount {
		ways = append(ways, way)
	}
	for _, tt := range []struct {
		name string
		q    Question
		want []string
	}{
		{"by number", Question{Device: device}, []string{"chosen", "chosen/sub", "on chosen"}},
		{"by text", Question{Asked: text}, []string{"beside", "chosen", "chosen/sub", "on chosen"}},
		{"by both", Question{Device: device, Asked: none}, []string{"beside", "chosen", "chosen/sub", "on chosen"}},
		{"and near", Question{Asked: text, Near: func(m *mounts.Mount) bool { return m.MountPoint == at("other") }}, []string{"beside", "chosen", "chosen/sub", "on chosen", "other"}},
		{"below", Question{Asked: none, Below: []string{at("other/more")}}, []string{"beside", "on other"}},
		{"below, by number", Question{Device: func(mounts.Device) bool { return false }, Below: []string{at("store/1")}}, []string{"beside"}},
		{"below, as it was typed", Question{Asked: none, Below: []string{"/" + strings.ReplaceAll(at("other/more"), "/", "//") + "/"}}, []string{"beside", "on other"}},
		{"none", Question{Asked: none}, []string{"beside"}},
	} {
		for _, way := range ways {
			// More stays where a namespace ends meanwhile by which strings were read: another look has it right.
			var c *Census
			hosttest.Until(t, 20*time.Second, fmt.Sprintf("%s, %s: %q", tt.name, way, tt.want), func() bool {
				c = read(t, Request{Way: way, Passes: 1, About: &tt.q})
				return slices.Equal(sourcesBelow(c, dir), tt.want)
			})
			known := slices.ContainsFunc(c.Devices, device)
			if numbers := way == Statmount && tt.q.Asked == nil; known == numbers {
				t.Errorf("%s, %s: the device is listed: %v", tt.name, way, known)
			}
		}
	}
}

// sourcesBelow are those of the mounts below a directory, without the numbers in them.
func sourcesBelow(c *Census, dir string) (all []string) {
	for _, ns := range c.Namespaces {
		for _, m := range ns.Mounts {
			name, _, _ := strings.Cut(m.Source, " 1")
			name, _, _ = strings.Cut(name, " 2")
			if _, binds := mounts.BoundNamespace(&m); !binds && strings.HasPrefix(m.MountPoint, dir+"/") {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Of a namespace that differs from the one before, what its mounts are is not that one's.
func TestQuestionOfCopies(t *testing.T) {
	h := mountstest.Start(t, 6, 9, 1)
	for _, p := range []mountstest.Plant{h.Plant(t, mountstest.Process), h.Plant(t, mountstest.Covered), h.Plant(t, mountstest.Bind)} {
		q := Question{Asked: func(m *mounts.Mount) bool { return m.Source == p.Source }}
		want := []string{fmt.Sprintf("%d %d %s", p.Namespace, p.NamespaceID, p.Path)}
		if got := withSource(read(t, Request{Passes: 1, About: &q}), p.Source); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", p.Kind, got, want)
		}
	}
}

// A container that mounts what is asked about in as many places as it can, and whose
// overlays have many layers, does not hold the question up. What stays is in the order of the tables.
func TestQuestionOfManyPlaces(t *testing.T) {
	const places, overlays = 100_000, 200
	layers := "rw,lowerdir=" + strings.Repeat("/var/lib/a-directory-of/layers:", 499) + "/var/lib/x"
	all := make([]mounts.Mount, 0, places+2*overlays)
	for i := range places {
		all = append(all, mounts.Mount{ID: i + 1, Minor: 7, Type: "tmpfs", MountPoint: fmt.Sprintf("/var/lib/containers/place-%06d", i)})
	}
	stands := strings.Replace(layers, "layers:", "layers:/var/lib/containers/place-000777/l:", 1)
	for i := range overlays {
		for _, super := range []string{layers, stands} {
			all = append(all, mounts.Mount{ID: len(all) + 1, Minor: uint32(len(all) + 1), Type: "overlay", Super: super})
		}
		all[i*100], all[len(all)-1] = all[len(all)-1], all[i*100]
	}
	want := slices.DeleteFunc(slices.Clone(all), func(m mounts.Mount) bool { return m.Super == layers })
	spaces := []mounts.Namespace{{Mounts: all}}
	q := Question{Device: func(d mounts.Device) bool { return d.Minor == 7 }}
	before := processorTime(t)
	q.answer(spaces)
	if took := processorTime(t) - before; took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if !slices.Equal(spaces[0].Mounts, want) {
		t.Errorf("%d mounts stay, want %d in this order", len(spaces[0].Mounts), len(want))
	}
}

// processorTime is what this process has used: others use the machine, too.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
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
		{"no path, and root", "rw,lowerdir=a", "/", false},
		{"slashes as they were typed", "rw,lowerdir=/mnt/d//l/", "/mnt/d", true},
		{"a comma that forges an option", `rw,lowerdir=/a\054upperdir=/mnt/d`, "/mnt/d", false},
		{"another option", "rw,redirect_dir=/mnt/d", "/mnt/d", false},
	} {
		if got := standsOn(&mounts.Mount{Type: "overlay", Super: tt.super}, paths{"/x": true, tt.point: true}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if standsOn(&mounts.Mount{Type: "tmpfs", Super: "rw,lowerdir=/x"}, paths{"/x": true}) {
		t.Error("no overlay, and it stands on layers")
	}
}
