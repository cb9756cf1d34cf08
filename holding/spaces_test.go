package holding

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/snapshot"
)

func TestSpaces(t *testing.T) {
	h := &snapshot.Host{
		Processes: []snapshot.Process{{PID: 1, Comm: "systemd"}, {PID: 7, Comm: "chronyd", Cgroup: "/system.slice/chronyd.service"}, {PID: 9, Comm: "sh", Container: "aa", Cgroup: "/system.slice/docker-aa.scope"}},
		Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{
			{Inode: 1, Mounts: []snapshot.Mount{{ID: 1, Point: "/x", Device: "8:1"}}},
			{Inode: 2, Pins: []snapshot.Pin{{Kind: "process", PID: 9}}, Mounts: []snapshot.Mount{{ID: 2, Point: "/", Device: "8:1"}, {ID: 3, Point: "/", Device: "0:9"}}},
			{Inode: 3, Pins: []snapshot.Pin{{Kind: "process", PID: 400}, {Kind: "process", PID: 1}}},
			{Inode: 4, Pins: []snapshot.Pin{{Kind: "thread", PID: 7, TID: 8}}},
		}},
	}
	h.Sort()
	var got []string
	for _, s := range Spaces(h) {
		root := ""
		if s.Root != nil {
			root = " root " + s.Root.Device
		}
		got = append(got, s.Label(h)+root)
	}
	want := []string{"systemd (pid 1)", "chronyd.service, chronyd (pid 7)", "sh (pid 9) in container aa root 0:9", "a mount namespace without a process"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all := Spaces(&snapshot.Host{}); all != nil {
		t.Errorf("without mount tables: %v", all)
	}
}

func TestPathAndBelow(t *testing.T) {
	s := Spaces(&snapshot.Host{Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Mounts: []snapshot.Mount{
		{ID: 1, Device: "8:1", Root: "/@", Point: "/"}, {ID: 2, Parent: 1, Device: "8:1", Root: "/@/var/lib", Point: "/mnt"},
		{ID: 3, Parent: 2, Device: "0:5", Root: "/", Point: "/mnt/a"}, {ID: 4, Parent: 5, Point: "/loop"}, {ID: 5, Parent: 4, Point: "/loop"}}}}}})[0]
	for _, tt := range []struct{ name, device, root, want string }{
		{"a directory", "8:1", "/@/etc", "/etc"},
		{"the mount itself", "8:1", "/@", "/"},
		{"the nearest of two", "8:1", "/@/var/lib/docker", "/mnt/docker"},
		{"a name that begins alike", "8:1", "/@home", ""},
		{"another device", "8:2", "/@", ""},
	} {
		if got, _ := s.Path(tt.device, tt.root); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for id, want := range map[int]int{0: 2, 1: 1, 2: 0, 3: 1} {
		if got := s.Below(&s.Mounts[id]); len(got) != want {
			t.Errorf("below mount %d: %d mounts, want %d", id+1, len(got), want)
		}
	}
}

func TestReaches(t *testing.T) {
	m := &Map{masters: map[uint64]uint64{2: 1, 3: 2, 8: 9, 9: 8}}
	for _, tt := range []struct {
		name     string
		from, to uint64 // groups
		master   uint64
		want     bool
	}{
		{"peers", 1, 1, 0, true},
		{"a slave", 1, 0, 1, true},
		{"through two groups", 1, 0, 3, true},
		{"the other way", 3, 1, 0, false},
		{"private", 1, 0, 0, false},
		{"from a private one", 0, 0, 0, false},
		{"groups that go round", 1, 0, 8, false},
	} {
		from, to := &snapshot.Mount{Shared: tt.from}, &snapshot.Mount{Shared: tt.to, Master: tt.master}
		if got := m.Reaches(from, to); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
