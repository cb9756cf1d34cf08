package plan

import (
	"fmt"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

const merged = "/var/lib/docker/overlay2/4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97/merged"

// leaky is a host whose layer 0:51 its owner has unmounted, and which lives on in
// two namespaces: of a unit, and of a user namespace.
func leaky() *snapshot.Host {
	return &snapshot.Host{
		Processes: []snapshot.Process{{PID: 1, Start: 1, Comm: "systemd"}, {PID: 70, PPID: 1, Start: 3, Comm: "httpd"}, {PID: 80, PPID: 1, Start: 4, Comm: "rootless"}},
		Mounts: &snapshot.Mounts{Settled: true, Namespaces: []snapshot.MountNamespace{
			{Inode: 1, Mounts: []snapshot.Mount{{ID: 100, Parent: 99, Device: "8:3", Root: "/", Point: "/"}}, Pins: []snapshot.Pin{{Kind: "process", PID: 1}}},
			{Inode: 2, Mounts: []snapshot.Mount{{ID: 200, Parent: 199, Device: "8:3", Root: "/", Point: "/", Shared: 7},
				{ID: 201, Parent: 200, Device: "0:51", Root: "/", Point: merged}}, Pins: []snapshot.Pin{{Kind: "process", PID: 70}}},
			{Inode: 3, Owner: 5, Mounts: []snapshot.Mount{{ID: 300, Parent: 299, Device: "8:3", Root: "/", Point: "/", Shared: 7},
				{ID: 301, Parent: 300, Device: "0:51", Root: "/", Point: merged}}, Pins: []snapshot.Pin{{Kind: "process", PID: 80}}},
		}},
	}
}

func leaked(actions ...string) []check.Finding {
	f := check.Finding{ID: "leaked-mount/201", Check: "leaked-mount", Subject: check.Subject{Device: "0:51"}}
	for _, a := range actions {
		f.Remedies = append(f.Remedies, check.Remedy{Action: a, Risk: "safe"})
	}
	return []check.Finding{f}
}

// The steps for leaked copies: which act, on what, what goes along, why not.
func TestMountSteps(t *testing.T) {
	use := func(mount uint64) func(h *snapshot.Host) {
		return func(h *snapshot.Host) {
			h.Mounts.References = append(h.Mounts.References, snapshot.Reference{PID: 80, Kind: "cwd", Mount: mount, Device: "0:51"})
		}
	}
	for _, tt := range []struct {
		name   string
		change []func(h *snapshot.Host)
		want   string
	}{
		{"one takes the other along, and their mount point both", nil,
			"0 unmount-in-namespace safe 201 [201 301] +1; 1 remove-mountpoint safe 100 [201 301] +2"},
		{"the other is used: the parent is made private", []func(*snapshot.Host){use(301)},
			"0 make-private-then-unmount disruptive 201 on 200 [201] +1; 0 unmount-in-namespace safe 301 refused; 1 remove-mountpoint safe 100 [201 301] +2 refused"},
		{"one that is refused leaves the other its own step", []func(*snapshot.Host){use(201), func(h *snapshot.Host) {
			h.Mounts.Namespaces[2].Mounts[0].Shared, h.Mounts.Namespaces[2].Mounts[0].Master = 0, 7
		}}, "0 unmount-in-namespace safe 201 refused; 0 unmount-in-namespace safe 301 [301] +0; 1 remove-mountpoint safe 100 [201 301] +2 refused"},
		{"out of reach of nobody", []func(*snapshot.Host){func(h *snapshot.Host) { h.Mounts.Namespaces[2].Owner = 0 }}, "0 unmount-in-namespace safe 201 [201 301] +1"},
		{"no directory of an owner's", []func(*snapshot.Host){func(h *snapshot.Host) { h.Mounts.Namespaces[0].Mounts[0].Device = "8:9" }},
			"0 unmount-in-namespace safe 201 refused; 0 unmount-in-namespace safe 301 refused; 1 remove-mountpoint safe 301 refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := leaky()
			for _, change := range tt.change {
				change(h)
			}
			h.Sort()
			var got []string
			for _, s := range Make(h, leaked("unmount-in-namespace", "remove-mountpoint")).Steps {
				text := fmt.Sprintf("%d %s %s %d", s.Round, s.Action, s.Risk, s.Target.Mount)
				if s.Parent != nil {
					text += fmt.Sprintf(" on %d", s.Parent.Mount)
				}
				if s.Target.Mounts != nil {
					text += fmt.Sprintf(" %d", s.Target.Mounts)
				}
				if s.Refused == "" || len(s.Affects) > 0 {
					text += fmt.Sprintf(" +%d", len(s.Affects))
				}
				if s.Refused != "" {
					text += " refused"
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "; "); text != tt.want {
				t.Errorf("\n     %s\nwant %s", text, tt.want)
			}
		})
	}
}

// The command for a mount namespace leads there, or there is none: without nsenter it
// would be carried out where the person is, who may have another mount on that path.
func TestByHand(t *testing.T) {
	for _, tt := range []struct {
		name string
		pins []snapshot.Pin
		want string // before each act
	}{
		{"a process", []snapshot.Pin{{Kind: "fd", PID: 70, FD: 3}, {Kind: "process", PID: 70}}, "nsenter -t 70 -m "},
		{"a thread", []snapshot.Pin{{Kind: "thread", PID: 70, TID: 71}}, "nsenter -m/proc/70/task/71/ns/mnt "},
		{"an open file", []snapshot.Pin{{Kind: "fd", PID: 70, FD: 3}}, "nsenter -m/proc/70/fd/3 "},
		{"a bound file, by the namespace that it is bound in", []snapshot.Pin{{Kind: "bind", Path: "/run/x y", Namespace: 3}}, "nsenter -m'/proc/80/root/run/x y' "},
		{"a bound file in a namespace without a process", []snapshot.Pin{{Kind: "bind", Path: "/run/ns", Namespace: 2}}, ""},
		{"a socket", []snapshot.Pin{{Kind: "socket", PID: 70, FD: 3}}, ""},
		{"nothing", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := leaky()
			h.Mounts.Namespaces[1].Pins = tt.pins
			h.Sort()
			ns := &h.Mounts.Namespaces[1]
			want := ""
			if tt.want != "" {
				want = tt.want + "one && " + tt.want + "two"
			}
			if got := inside(h, ns, "one", "two"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// With the last mount of what is only in memory its contents go: that is never safe,
// but for what was a container's.
func TestPerishing(t *testing.T) {
	const volume = "/var/lib/kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount"
	host := func(kind, point string, change ...func(*snapshot.Host)) *snapshot.Host {
		h := leaky()
		for _, ns := range h.Mounts.Namespaces[1:] {
			ns.Mounts[0].Shared = 0 // each copy goes alone
			ns.Mounts[1].Type, ns.Mounts[1].Point = kind, point
		}
		for _, c := range change {
			c(h)
		}
		h.Sort()
		return h
	}
	under := func(h *snapshot.Host) { // the volume, when it goes with the removal of what it is on
		for i, ns := range h.Mounts.Namespaces[1:] {
			ns.Mounts[1].Type = "overlay"
			h.Mounts.Namespaces[i+1].Mounts = append(ns.Mounts, snapshot.Mount{ID: ns.Mounts[1].ID + 1, Parent: ns.Mounts[1].ID, Device: "0:52", Type: "tmpfs", Root: "/", Point: ns.Mounts[1].Point + "/x"})
			h.Mounts.Namespaces[i+1].Pins = nil
		}
	}
	for _, tt := range []struct {
		name string
		h    *snapshot.Host
		act  string
		want string
	}{
		{"a volume on a disk", host("ext4", volume), "unmount-in-namespace", "201 safe, 301 safe"},
		{"a volume in memory: each copy, for all are to go", host("tmpfs", volume), "unmount-in-namespace", "201 destructive, 301 destructive"},
		{"and as ramfs", host("ramfs", volume), "unmount-in-namespace", "201 destructive, 301 destructive"},
		{"a dead container's shared memory", host("tmpfs", strings.TrimSuffix(strings.Replace(merged, "overlay2", "containers", 1), "merged")+"mounts/shm"), "unmount-in-namespace", "201 safe, 301 safe"},
		{"what was mounted in a dead container", host("tmpfs", merged), "unmount-in-namespace", "201 safe, 301 safe"},
		{"by its mount point", host("tmpfs", volume), "remove-mountpoint", "100 destructive"},
		{"with the mount point of what it is on", host("", volume, under), "remove-mountpoint", "100 destructive"},
	} {
		var got []string
		for _, s := range Make(tt.h, leaked(tt.act)).Steps {
			got = append(got, fmt.Sprintf("%d %s", s.Target.Mount, s.Risk))
			if lost := strings.Contains(strings.Join(s.Affects, ";"), "only in memory"); lost != (s.Risk == "destructive") {
				t.Errorf("%s: %s: %q", tt.name, s.Risk, s.Affects)
			}
			if again := Renew(tt.h, s); s.Refused == "" && again.Status != Planned {
				t.Errorf("%s: again: %q", tt.name, again.Why)
			}
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, text, tt.want)
		}
	}
	s := Make(host("tmpfs", volume), leaked("unmount-in-namespace")).Steps[0]
	s.Risk = "safe" // as if others had had it when it was planned
	s.ID = identity(s)
	last := host("tmpfs", volume, func(h *snapshot.Host) { h.Mounts.Namespaces[2].Mounts = h.Mounts.Namespaces[2].Mounts[:1] })
	if now := Renew(last, s); now.Status == Planned || !strings.Contains(now.Why, "its risk is destructive now, not safe") {
		t.Errorf("the last copy by now: %q %q", now.Status, now.Why)
	}
}

// Each mount of a step that names several must be gone.
func TestDetached(t *testing.T) {
	h := leaky()
	h.Sort()
	s := Make(h, leaked("remove-mountpoint")).Steps[0]
	if gone, left := Gone(h, s); gone || left != "2 mounts still there" {
		t.Errorf("%v, %q", gone, left)
	}
	h.Mounts.Namespaces[1].Mounts = h.Mounts.Namespaces[1].Mounts[:1]
	h.Sort()
	if gone, left := Gone(h, s); gone || left != "1 mount still there" {
		t.Errorf("%v, %q", gone, left)
	}
	h.Mounts.Namespaces[2].Mounts = h.Mounts.Namespaces[2].Mounts[:1]
	h.Sort()
	if gone, _ := Gone(h, s); !gone {
		t.Error("not gone")
	}
}
