package collect

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/collect/door"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/snapshot"
)

// copiedNamespace is a copy of our mount namespace in a user namespace of its own,
// with a tmpfs on /tmp that came later.
func copiedNamespace(t *testing.T) (ns *snapshot.MountNamespace, table func() string) {
	hosttest.NeedsRoot(t)
	cmd := exec.Command("sleep", "1000")
	root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: root, GidMappings: root}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := nsfs.Inside(fd, func() error { return unix.Mount("later", "/tmp", "tmpfs", 0, "size=64k") }); err != nil {
		t.Fatal(err)
	}
	table = func() string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	all, err := mounts.ParseMountinfo([]byte(table()))
	if err != nil {
		t.Fatal(err)
	}
	ns = &snapshot.MountNamespace{Pins: []snapshot.Pin{{Kind: "process", PID: cmd.Process.Pid}}}
	if ns.Inode, err = nsfs.Inode(fd); err != nil {
		t.Fatal(err)
	}
	ns.ID, _ = nsfs.ID(fd) // 0 before Linux 6.11
	for _, m := range all {
		ns.Mounts = append(ns.Mounts, snapshot.Mount{ID: uint64(m.ID), Parent: uint64(m.Parent), Point: m.MountPoint})
	}
	return ns, table
}

// of are the mounts that these paths lead to: of several at one place the last.
func (k lockKinds) of(ns *snapshot.MountNamespace) (all []*snapshot.Mount) {
	top := map[string]*snapshot.Mount{}
	for i := range ns.Mounts {
		if m := &ns.Mounts[i]; m.Point != "" {
			top[m.Point] = m
		}
	}
	for point := range k {
		if top[point] != nil {
			all = append(all, top[point])
		}
	}
	return all
}

type lockKinds map[string]bool

// A child process asks, by a process that leads there or by the kernel's own way,
// and the tables are what they were.
func TestAskLocks(t *testing.T) {
	ns, table := copiedNamespace(t)
	want := lockKinds{"/proc": true, "/tmp": false}
	own, before := ownTable(t), table()
	for _, pins := range [][]snapshot.Pin{ns.Pins, {{Kind: "process", PID: 1}}} {
		ns.Pins = pins
		asked := want.of(ns)
		got, lacks := AskLocks(t.Context(), Self, "/proc", ns, asked)
		if len(lacks) > 0 && pins[0].PID == 1 && len(got) == 0 && strings.Contains(lacks[0].Err, "nothing leads to") {
			continue // before Linux 6.12, and from a PID namespace, only processes lead there
		}
		if len(lacks) > 0 || len(got) != len(asked) || len(asked) < len(want) {
			t.Errorf("pins %v: %d of %d answers; %v", pins, len(got), len(asked), lacks)
		}
		for _, m := range asked {
			if got[m.ID] != want[m.Point] {
				t.Errorf("%s: locked %v", m.Point, got[m.ID])
			}
		}
	}
	if table() != before || ownTable(t) != own {
		t.Errorf("the tables changed from\n%s\nto\n%s", before, table())
	}
	ns.ID++
	if got, lacks := AskLocks(t.Context(), Self, "/proc", ns, want.of(ns)); ns.ID > 1 && (len(got) > 0 || len(lacks) < 2) {
		t.Errorf("another namespace with this inode: %v, %v", got, lacks)
	}
}

func ownTable(t *testing.T) string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a child said before it blocked counts; of the rest the reason is told.
func TestAskLocksBlocked(t *testing.T) {
	ns := &snapshot.MountNamespace{Inode: 7, Mounts: []snapshot.Mount{{ID: 1, Point: "/a"}, {ID: 2, Point: "/b\xff"}, {ID: 3, Point: "/c"}, {ID: 4, Point: strings.Repeat("/", mostQuestion)}}}
	blocks := func(context.Context, ...string) ([]byte, error) {
		return []byte(`{"id":1,"locked":true}` + "\n" + `{"id":2,"err":"no"}` + "\n" + `{"id":`), door.ErrDeadline
	}
	got, lacks := AskLocks(t.Context(), blocks, "/proc", ns, []*snapshot.Mount{&ns.Mounts[0], &ns.Mounts[1], &ns.Mounts[2], &ns.Mounts[3]})
	if len(got) != 1 || !got[1] || len(lacks) != 3 {
		t.Fatalf("%v, %v", got, lacks)
	}
	for i, why := range []string{"too many", "no", door.ErrDeadline.Error()} {
		if !strings.Contains(lacks[i].Err, why) {
			t.Errorf("%+v, want %q", lacks[i], why)
		}
	}
}

func TestAskRule(t *testing.T) {
	hosttest.NeedsRoot(t)
	before := ownTable(t)
	older, err := AskRule(t.Context(), Self, "/proc")
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || strings.HasPrefix(string(release), "6.18.") && older || strings.HasPrefix(string(release), "6.1.") && !older {
		t.Errorf("%s: older %v, %v", release, older, err)
	}
	if ownTable(t) != before {
		t.Error("something is mounted here")
	}
	if _, err := AskRule(t.Context(), Self, "/nowhere"); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("no /proc: %v", err)
	}
}

// Bound files, with paths that a container made, do not keep the child from a
// process that leads to the namespace.
func TestWays(t *testing.T) {
	long := strings.Repeat("x", 4000)
	var pins []snapshot.Pin
	for range 20 {
		pins = append(pins, snapshot.Pin{Kind: "bind", Path: long})
	}
	pins = append(pins, snapshot.Pin{Kind: "fd", PID: 7, FD: 3, Path: long}, snapshot.Pin{Kind: "process", PID: 8})
	want := []snapshot.Pin{{Kind: "fd", PID: 7, FD: 3}, {Kind: "process", PID: 8}}
	if got := ways(pins); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
