package holding

import (
	"fmt"
	"strings"
	"testing"

	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// merged is where the layer of a dead container was mounted.
const merged = "/var/lib/docker/overlay2/" + id + "/merged"

// leaky is a host whose layer 0:51 is unmounted by its owner and lives on in the
// namespace of a unit, with shared memory mounted in it.
func leaky() *snapshot.Host {
	return &snapshot.Host{
		Root: true, Kernel: "6.18.0",
		Processes: []snapshot.Process{{PID: 1, Start: 1, Comm: "systemd"}, {PID: 60, PPID: 1, Start: 2, Comm: "dockerd"},
			{PID: 70, PPID: 1, Start: 3, Comm: "httpd", Cgroup: "/system.slice/httpd.service"}, {PID: 80, PPID: 60, Start: 4, Comm: "app", Container: id}},
		Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{
			{Inode: 1, Mounts: []snapshot.Mount{{ID: 100, Parent: 99, Device: "8:3", Root: "/", Point: "/", Shared: 1}},
				Pins: []snapshot.Pin{{Kind: "process", PID: 1}, {Kind: "process", PID: 60}}},
			{Inode: 2, Mounts: []snapshot.Mount{{ID: 200, Parent: 199, Device: "8:3", Root: "/", Point: "/"},
				{ID: 201, Parent: 200, Device: "0:51", Root: "/", Point: merged, Type: "overlay"}},
				Pins: []snapshot.Pin{{Kind: "process", PID: 70}}},
			{Inode: 3, Mounts: []snapshot.Mount{{ID: 300, Parent: 299, Device: "0:60", Root: "/", Point: "/"},
				{ID: 301, Parent: 300, Device: "8:3", Root: "/", Point: "/rootfs"}},
				Pins: []snapshot.Pin{{Kind: "process", PID: 80}}},
		}},
	}
}

// What goes, what of it is missed and by whom, told for small changes of one host.
func TestBlast(t *testing.T) {
	add := func(ns int, m snapshot.Mount) func(h *snapshot.Host) {
		return func(h *snapshot.Host) {
			h.Mounts.Namespaces[ns].Mounts = append(h.Mounts.Namespaces[ns].Mounts, m)
		}
	}
	at := func(ns, k int) func(h *snapshot.Host) *snapshot.Mount {
		return func(h *snapshot.Host) *snapshot.Mount { return &h.Mounts.Namespaces[ns].Mounts[k] }
	}
	tag := func(m func(*snapshot.Host) *snapshot.Mount, shared, master uint64) func(h *snapshot.Host) {
		return func(h *snapshot.Host) { m(h).Shared, m(h).Master = shared, master }
	}
	hostCopy := add(0, snapshot.Mount{ID: 101, Parent: 100, Device: "0:51", Root: "/", Point: merged, Type: "overlay"})
	shm := add(1, snapshot.Mount{ID: 202, Parent: 201, Device: "0:70", Root: "/", Point: merged + "/dev/shm", Type: "tmpfs"})
	seen := add(2, snapshot.Mount{ID: 302, Parent: 301, Device: "0:51", Root: "/", Point: "/rootfs" + merged, Type: "overlay"})
	open := func(h *snapshot.Host) {
		h.Mounts.References = append(h.Mounts.References, snapshot.Reference{PID: 70, Kind: "fd", FD: 5, Mount: 201, Device: "0:51", Link: "/x"})
	}
	for _, tt := range []struct {
		name   string
		change []func(*snapshot.Host)
		id     uint64
		detach bool
		want   string // id how (why live), ...; stays ids; or refused
	}{
		{"leaked, and alone", nil, 201, false, "goes 201 victim"},
		{"its parent is a peer of the host's, where it is mounted still", []func(*snapshot.Host){hostCopy, tag(at(1, 0), 1, 0)}, 201, false,
			"goes 201 victim (its owner has it mounted still: systemd (pid 1)), 101 received (its owner has it mounted still: systemd (pid 1))"},
		{"a slave of the host's reaches nobody, and the owner has it still", []func(*snapshot.Host){hostCopy, tag(at(1, 0), 0, 1)}, 201, false,
			"goes 201 victim (its owner has it mounted still: systemd (pid 1)); stays 101"},
		{"a copy that a monitor sees goes along", []func(*snapshot.Host){seen, tag(at(1, 0), 5, 0), tag(at(2, 1), 0, 5)}, 201, false, "goes 201 victim, 302 received"},
		{"a copy that a monitor sees stays", []func(*snapshot.Host){seen}, 201, false, "goes 201 victim; stays 302"},
		{"a container's own root", []func(*snapshot.Host){func(h *snapshot.Host) { at(2, 0)(h).Device = "0:51" }}, 201, false, "goes 201 victim (a container works in it); stays 300"},
		{"an open file", []func(*snapshot.Host){open}, 201, false, "refused: it is in use: httpd (pid 70), httpd.service, fd 5 uses it (fd)"},
		{"an open file, detached", []func(*snapshot.Host){open}, 201, true, "goes 201 victim (httpd (pid 70), httpd.service, fd 5 uses it (fd))"},
		{"an open file in a copy that goes along", []func(*snapshot.Host){seen, tag(at(1, 0), 5, 0), tag(at(2, 1), 0, 5), func(h *snapshot.Host) {
			h.Mounts.References = []snapshot.Reference{{PID: 80, Kind: "cwd", Mount: 302, Device: "0:51"}}
		}}, 201, false, "refused: its copy on /rootfs" + merged + ", which goes along, is in use: app (pid 80), container 4e09fa6803fe uses it (cwd)"},
		{"something on it", []func(*snapshot.Host){shm}, 201, false, "refused: " + merged + "/dev/shm is mounted on it"},
		{"something on it, detached", []func(*snapshot.Host){shm}, 201, true, "goes 201 victim, 202 below (httpd (pid 70), httpd.service has it mounted)"},
		{"something on it, in a namespace without a process", []func(*snapshot.Host){shm, func(h *snapshot.Host) { h.Mounts.Namespaces[1].Pins = nil }}, 201, true, "goes 201 victim, 202 below"},
		{"alone, in a namespace that an open file keeps", []func(*snapshot.Host){func(h *snapshot.Host) {
			h.Mounts.Namespaces[1].Pins = []snapshot.Pin{{Kind: "fd", PID: 70, FD: 8}}
		}}, 201, false, "goes 201 victim"},
		{"under what covers the way to it", []func(*snapshot.Host){add(1, snapshot.Mount{ID: 260, Parent: 200, Device: "0:81", Root: "/", Point: "/var/lib"})}, 201, false,
			"refused: its path leads to mount 260 on /var/lib, which covers it"},
		{"where an old daemon lives", []func(*snapshot.Host){func(h *snapshot.Host) {
			h.Processes[2].Comm = "containerd"
			h.Mounts.Namespaces[1].Mounts[1].Device = "0:52"
		}, add(1, snapshot.Mount{ID: 203, Parent: 201, Device: "0:71", Root: "/", Point: merged + "/x"})}, 201, true,
			"goes 201 victim (its owner has it mounted still: containerd (pid 70), httpd.service), 203 below (containerd (pid 70), httpd.service mounts for containers where it is mounted)"},
		{"of a parent that is not listed", []func(*snapshot.Host){add(1, snapshot.Mount{ID: 250, Parent: 249, Device: "0:80", Root: "/", Point: "/x"})}, 250, false, "refused: it is the root of its mount namespace"},
		{"the root", nil, 200, true, "refused: it is the root of its mount namespace"},
		{"locked perhaps: counted as if it were not", []func(*snapshot.Host){shm, func(h *snapshot.Host) { h.Mounts.Namespaces[1].Owner = 5 }}, 201, true, "goes 201 victim, 202 below (httpd (pid 70), httpd.service has it mounted)"},
		{"not there", nil, 999, false, "error: mount 999 is in no mount namespace that was read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := leaky()
			for _, change := range tt.change {
				change(h)
			}
			h.Sort()
			toll, err := Blast(h, tt.id, tt.detach)
			got := story(toll)
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != tt.want {
				t.Errorf("\n     %s\nwant %s", got, tt.want)
			}
			if (toll.Refused == "") != (toll.Instead == "") {
				t.Errorf("refused, %q, and instead %q", toll.Refused, toll.Instead)
			}
			if told := toll.Refused == "" && strings.Contains(got, "("); (len(toll.Live()) > 0) != told {
				t.Errorf("%d live of %s", len(toll.Live()), got)
			}
		})
	}
}

// An overmount that only the copy has: older kernels take the copy, newer leave it.
func TestBlastBothRules(t *testing.T) {
	h := leaky()
	ns := h.Mounts.Namespaces
	ns[1].Mounts = []snapshot.Mount{{ID: 200, Parent: 199, Device: "8:3", Root: "/", Point: "/", Shared: 1}, {ID: 201, Parent: 200, Device: "0:51", Root: "/", Point: "/p", Shared: 2}, {ID: 202, Parent: 201, Device: "0:52", Root: "/", Point: "/p/v"}}
	ns[2].Mounts = []snapshot.Mount{{ID: 300, Parent: 299, Device: "8:3", Root: "/", Point: "/", Shared: 1}, {ID: 301, Parent: 300, Device: "0:51", Root: "/", Point: "/p", Shared: 2}, {ID: 302, Parent: 301, Device: "0:52", Root: "/", Point: "/p/v"}, {ID: 303, Parent: 302, Device: "0:53", Root: "/", Point: "/p/v"}}
	h.Sort()
	toll, err := Blast(h, 201, true)
	if err != nil {
		t.Fatal(err)
	}
	goes := map[uint64]bool{}
	for _, l := range toll.Goes {
		goes[l.Mount.ID] = true
	}
	table, _ := Table(h.Mounts)
	v := table.Unmount(propagation.Call{Mount: 201, Namespace: 2, Lazy: true})
	if !v.Differ || !goes[301] || len(goes) < 4 {
		t.Errorf("differ %v, goes %v", v.Differ, goes)
	}
}

func story(t Toll) string {
	if t.Refused != "" {
		return "refused: " + t.Refused
	}
	var goes, stays []string
	for _, l := range t.Goes {
		text := fmt.Sprintf("%d %s", l.Mount.ID, l.Why)
		if l.Live != "" {
			text += " (" + l.Live + ")"
		}
		goes = append(goes, text)
	}
	for _, p := range t.Stays {
		stays = append(stays, fmt.Sprint(p.Mount.ID))
	}
	text := "goes " + strings.Join(goes, ", ")
	if len(stays) > 0 {
		text += "; stays " + strings.Join(stays, ", ")
	}
	return text
}
