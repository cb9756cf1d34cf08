package cgroupfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// Every process of this machine has a membership that can be read.
func TestLive(t *testing.T) {
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, fs.ErrPermission) {
			continue // it ended, or is not ours to read
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := ParseMembership(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, m := range all {
			PlaceOf(m.Path)
		}
		read++
	}
	if read == 0 {
		t.Error("no process could be read, not even the test itself")
	}
}

// A zombie is in the root of each version 1 hierarchy and keeps its place in version 2.
func TestLiveZombie(t *testing.T) {
	self, err := os.ReadFile("/proc/self/cgroup")
	hosttest.Needs(t, "cgroups", err == nil, "a kernel with control groups")
	child, err := os.StartProcess("/proc/self/exe", []string{"cgroupfs.test", "-test.run=^$"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Kill()
	hosttest.Until(t, 20*time.Second, "the child is a zombie", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), ") Z ")
	})
	dead, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", child.Pid))
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ParseMembership(self)
	if err != nil {
		t.Fatal(err)
	}
	its, err := ParseMembership(dead)
	if err != nil || len(its) != len(mine) {
		t.Fatalf("%v: %q, its parent %q", err, dead, self)
	}
	for i, m := range its {
		want := mine[i].Path
		if m.Hierarchy != 0 {
			want = "/"
		}
		if m.Path != want {
			t.Errorf("hierarchy %d %v: %q, want %q", m.Hierarchy, m.Controllers, m.Path, want)
		}
	}
}
