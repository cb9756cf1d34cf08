package census

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

// needsStatmount skips where the kernel has not got the fast way.
func needsStatmount(t testing.TB) {
	t.Helper()
	way, why := Detect("/proc")
	hosttest.Needs(t, "statmount", way == Statmount, why)
}

func read(t testing.TB, req Request) *Census {
	t.Helper()
	c, err := Read(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lacks is what could not be seen, without the mounts of other namespaces than this
// one: others make mounts, and take them away while they are counted.
func lacks(c *Census, inode uint64) []mounts.Unknown {
	of := fmt.Sprintf(" mounts of mnt:[%d]", inode)
	return slices.DeleteFunc(slices.Clone(c.Unknown), func(u mounts.Unknown) bool {
		return strings.Contains(u.What, " mounts of mnt:[") && !strings.Contains(u.What, of)
	})
}

// withSource lists where the mounts of a planted source are, as "inode path".
func withSource(c *Census, source string) (where []string) {
	for _, ns := range c.Namespaces {
		for _, m := range ns.Mounts {
			if m.Source == source {
				where = append(where, fmt.Sprintf("%d %d %s", ns.Inode, ns.ID, m.MountPoint))
			}
		}
	}
	return where
}

// Every planted copy is found in its namespace, and the others nowhere.
func TestPlanted(t *testing.T) {
	needsStatmount(t)
	h := mountstest.Start(t, 3, 5, 1)
	c := read(t, Request{Whole: true})
	if c.Way != Statmount || c.Why != "" {
		t.Errorf("way %s (%s)", c.Way, c.Why)
	}
	for _, p := range h.Plants {
		t.Run(p.Kind, func(t *testing.T) {
			if unknown := lacks(c, p.Namespace); len(unknown) > 0 {
				t.Errorf("unknown: %v", unknown)
			}
			if slices.Contains(c.Moving, p.Namespace) { // others may: the machine is not ours alone
				t.Error("it is quiet, and was said to move")
			}
			var want []string
			if p.Namespace != 0 && !unseen(p) {
				want = []string{fmt.Sprintf("%d %d %s", p.Namespace, p.NamespaceID, p.Path)}
			}
			if diff := cmp.Diff(want, withSource(c, p.Source)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// unseen reports whether only the kernel's own way leads to a plant, and that is
// closed here: from a PID namespace of one's own it leads nowhere.
func unseen(p mountstest.Plant) bool {
	return p.Kind == mountstest.Flying && nestedPIDs("/proc")
}

// One pass with all strings tells what two and a third look tell.
func TestWhole(t *testing.T) {
	needsStatmount(t)
	h := mountstest.Start(t, 3, 5, 1)
	c := read(t, Request{Passes: 1, Whole: true})
	for _, p := range h.Plants {
		var want []string
		if p.Namespace != 0 && !unseen(p) {
			want = []string{fmt.Sprintf("%d %d %s", p.Namespace, p.NamespaceID, p.Path)}
		}
		if diff := cmp.Diff(want, withSource(c, p.Source)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", p.Kind, diff)
		}
	}
}

// Of one superblock its mounts are left, and where other namespaces are bound.
func TestDevice(t *testing.T) {
	h := mountstest.Start(t, 3, 5, 1)
	p, pin := h.Plant(t, mountstest.Process), h.Plant(t, mountstest.Bind)
	ways := []Way{Mountinfo}
	if way, _ := Detect("/proc"); way == Statmount {
		ways = append(ways, way)
	}
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			c := read(t, Request{Way: way, Passes: 1, About: &Question{Device: func(d mounts.Device) bool { return d == mounts.Device{Major: p.Major, Minor: p.Minor} }}})
			if diff := cmp.Diff([]string{fmt.Sprintf("%d %d %s", p.Namespace, p.NamespaceID, p.Path)}, withSource(c, p.Source)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			bound := false
			for i := range c.Namespaces {
				ns := &c.Namespaces[i]
				for k := range ns.Mounts {
					inode, binds := mounts.BoundNamespace(&ns.Mounts[k])
					bound = bound || binds && inode == pin.Namespace
					if ns.Mounts[k].Source != p.Source && !binds {
						t.Errorf("%+v is left", ns.Mounts[k])
					}
				}
			}
			if !bound {
				t.Error("the pin is left out")
			}
		})
	}
}

// The mounts that pin namespaces have their strings without being asked for, and nothing else has.
func TestNumbersOnly(t *testing.T) {
	needsStatmount(t)
	h := mountstest.Start(t, 0, 0, 1)
	pin := h.Plant(t, mountstest.Bind)
	found := false
	for _, ns := range read(t, Request{}).Namespaces {
		for _, m := range ns.Mounts {
			if inode, ok := mounts.BoundNamespace(&m); ok {
				found = found || inode == pin.Namespace && m.MountPoint == pin.BoundAt
			} else if m.Type == "" && (m.MountPoint != "" || m.Super != "" || m.Source != "" || m.ID == 0 || m.UniqueID == 0) {
				t.Fatalf("%+v", m)
			}
		}
	}
	if !found {
		t.Errorf("no mount at %q binds mnt:[%d]", pin.BoundAt, pin.Namespace)
	}
}

// statmount and mountinfo say the same of every mount that both can see, in the machine's
// own namespace as soon as nobody mounts in between.
func TestSameAsMountinfo(t *testing.T) {
	needsStatmount(t)
	h := mountstest.Start(t, 2, 5, 1)
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	inode, _ := mounts.NamespaceInode(own)
	processes := map[string]uint64{"self": inode}
	for _, kind := range []string{mountstest.Process, mountstest.UserOwned, mountstest.Covered} {
		p := h.Plant(t, kind)
		processes[fmt.Sprint(p.PID)] = p.Namespace
	}
	for pid, inode := range processes {
		diff := ""
		t.Cleanup(func() {
			if diff != "" {
				t.Logf("process %s (-mountinfo +statmount)\n%s", pid, diff)
			}
		})
		hosttest.Until(t, 20*time.Second, "process "+pid+" has the same mounts by both", func() bool {
			var n int
			diff, n = bothOf(t, pid, inode)
			return diff == "" && n >= 5
		})
	}
}

// bothOf compares what mountinfo and statmount tell of a process's namespace, and counts its mounts.
func bothOf(t *testing.T, pid string, inode uint64) (diff string, n int) {
	t.Helper()
	c := read(t, Request{Whole: true})
	text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	want, err := mounts.ParseMountinfo(text)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Namespaces, func(ns mounts.Namespace) bool { return ns.Inode == inode })
	if i < 0 {
		t.Fatalf("no namespace %d", inode)
	}
	got := slices.Clone(c.Namespaces[i].Mounts)
	for k := range got {
		if got[k].UniqueID == 0 || got[k].UniqueParent == 0 {
			t.Errorf("%+v has no unique ids", got[k])
		}
		got[k].UniqueID, got[k].UniqueParent = 0, 0
	}
	byID := func(a, b mounts.Mount) int { return a.ID - b.ID }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	return cmp.Diff(want, got, withoutOptions), len(got)
}

// The old way finds all namespaces but the one that nothing in /proc leads to, and says so.
func TestMountinfoWay(t *testing.T) {
	h := mountstest.Start(t, 2, 3, 1)
	slow := read(t, Request{Way: Mountinfo})
	if slow.Way != Mountinfo || slow.Why == "" {
		t.Errorf("way %s: %q", slow.Way, slow.Why)
	}
	for _, p := range h.Plants {
		var want []string
		if p.Namespace != 0 && p.Kind != mountstest.Flying {
			want = []string{fmt.Sprintf("%d %d %s", p.Namespace, p.NamespaceID, p.Path)}
		}
		if diff := cmp.Diff(want, withSource(slow, p.Source)); diff != "" {
			t.Errorf("%s (-want +got)\n%s\nunknown %v", p.Kind, diff, slow.Unknown)
		}
	}
	saysUnseen(t, slow)
}

// saysUnseen fails the test unless a census by mountinfo owns up to what it cannot show.
func saysUnseen(t *testing.T, c *Census) {
	t.Helper()
	for _, what := range []string{"in flight", "below the one on /"} {
		if !strings.Contains(c.Blind, what) {
			t.Errorf("%q is not said to be out of sight: %q", what, c.Blind)
		}
	}
}

// The old way and the new one say the same of each namespace that both can see.
func TestBothWays(t *testing.T) {
	needsStatmount(t)
	h := mountstest.Start(t, 2, 3, 1)
	slow := read(t, Request{Way: Mountinfo})
	fast := read(t, Request{Whole: true})
	byInode := map[uint64]mounts.Namespace{}
	for _, ns := range slow.Namespaces {
		byInode[ns.Inode] = ns
	}
	compared := 0
	for _, want := range fast.Namespaces {
		got, ok := byInode[want.Inode]
		flying := want.Inode == h.Plant(t, mountstest.Flying).Namespace
		mine := slices.ContainsFunc(want.Mounts, func(m mounts.Mount) bool { return strings.HasPrefix(m.MountPoint, h.Dir+"/") })
		if !mine || flying { // the machine is not ours alone
			continue
		}
		if !ok {
			t.Errorf("mnt:[%d] was not found", want.Inode)
			continue
		}
		compared++
		for i := range want.Mounts {
			want.Mounts[i].UniqueID, want.Mounts[i].UniqueParent = 0, 0
		}
		byID := func(a, b mounts.Mount) int { return a.ID - b.ID }
		slices.SortFunc(want.Mounts, byID)
		slices.SortFunc(got.Mounts, byID)
		if diff := cmp.Diff(want, got, withoutOptions); diff != "" {
			t.Errorf("mnt:[%d] (-statmount +mountinfo)\n%s", want.Inode, diff)
		}
	}
	if compared < 10 {
		t.Errorf("only %d namespaces compared", compared)
	}
}

// A context that ends is the only answer then.
func TestCancelled(t *testing.T) {
	needsStatmount(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if c, err := Read(ctx, Request{}); c != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestDetectWithoutProc(t *testing.T) {
	way, why := Detect(t.TempDir())
	if way != Mountinfo || !strings.Contains(why, "ns/mnt") {
		t.Errorf("got %s: %s", way, why)
	}
}
