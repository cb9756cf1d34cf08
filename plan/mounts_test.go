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
