package plan

import (
	"strings"
	"testing"

	"sexton.dev/snapshot"
)

// A step on mounts is planned anew from a look that has mounts and processes alone:
// it stays as it is, or is refused for what has changed.
func TestRenew(t *testing.T) {
	mount := func(ns int, m snapshot.Mount) func(h *snapshot.Host) {
		return func(h *snapshot.Host) {
			h.Mounts.Namespaces[ns].Mounts = append(h.Mounts.Namespaces[ns].Mounts, m)
		}
	}
	use := func(id uint64) func(h *snapshot.Host) {
		return func(h *snapshot.Host) {
			h.Mounts.References = []snapshot.Reference{{PID: 80, Kind: "cwd", Mount: id, Device: "0:51"}}
		}
	}
	peer := func(h *snapshot.Host) { h.Mounts.Namespaces[0].Mounts[0].Shared = 7 }
	gone := func(h *snapshot.Host) {
		for i := range h.Mounts.Namespaces {
			h.Mounts.Namespaces[i].Mounts = h.Mounts.Namespaces[i].Mounts[:1]
		}
	}
	for _, tt := range []struct {
		name, action string
		was, change  func(h *snapshot.Host)
		want         string // part of why not; "" if it is planned as it was, "gone" if it needs none
	}{
		{"nothing has changed", "unmount-in-namespace", nil, nil, ""},
		{"it is used by now", "unmount-in-namespace", nil, use(201), "it is in use: rootless (pid 80) uses it (cwd)"},
		{"its copy is used by now", "unmount-in-namespace", nil, use(301), "the host gives no such step"},
		{"another goes along by now", "unmount-in-namespace", nil, func(h *snapshot.Host) {
			h.Mounts.Namespaces = append(h.Mounts.Namespaces, snapshot.MountNamespace{Inode: 4, Mounts: []snapshot.Mount{{ID: 400, Parent: 399, Device: "8:3", Root: "/", Point: "/", Master: 7},
				{ID: 401, Parent: 400, Device: "0:51", Root: "/", Point: merged}}, Pins: []snapshot.Pin{{Kind: "process", PID: 80}}})
		}, "mount 401 would go along by now, which was not planned"},
		{"its owner has it again", "unmount-in-namespace", nil, func(h *snapshot.Host) {
			peer(h)
			mount(0, snapshot.Mount{ID: 101, Parent: 100, Device: "0:51", Root: "/", Point: merged})(h)
		}, "its owner has it mounted still: systemd (pid 1)"},
		{"another mount with its number", "unmount-in-namespace", nil, func(h *snapshot.Host) { h.Mounts.Namespaces[1].Mounts[1].Device = "0:52" }, "the host gives no such step"},
		{"it is gone", "unmount-in-namespace", nil, gone, "gone"},
		{"no mounts were read", "unmount-in-namespace", nil, func(h *snapshot.Host) { h.Mounts = nil }, "the mounts could not be read again"},
		{"what was on it is gone, so that it can be told what goes", "unmount-in-namespace", mount(1, snapshot.Mount{ID: 202, Parent: 201, Device: "0:51", Root: "/v", Point: merged + "/v"}), nil, ""},
		{"the directory", "remove-mountpoint", nil, nil, ""},
		{"the directory of what is used by now", "remove-mountpoint", nil, use(301), "rootless (pid 80) uses it (cwd)"},
		{"the directory of one more", "remove-mountpoint", nil, mount(1, snapshot.Mount{ID: 202, Parent: 201, Device: "0:51", Root: "/v", Point: merged + "/v"}), "mount 202 on " + merged + "/v in mnt:[2] would go along"},
		{"the directory of none", "remove-mountpoint", nil, gone, "gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			look := func(change func(*snapshot.Host)) *snapshot.Host {
				h := leaky()
				if change != nil {
					change(h)
				}
				h.Sort()
				return h
			}
			var s Step
			for _, s = range Make(look(tt.was), leaked(tt.action)).Steps {
				if s.Target.Mount == 201 || tt.action == "remove-mountpoint" {
					break
				}
			}
			s.Does = "what a person has read"
			now := look(tt.change)
			got := Renew(now, s)
			ok := got.Status == Planned && got.Refused == ""
			why := got.Refused + got.Why
			if isGone, _ := Gone(now, s); isGone && got.Status == "" {
				why = "gone"
			}
			if ok != (tt.want == "") || !strings.Contains(why, tt.want) || got.Does != s.Does {
				t.Errorf("%q %q %q", got.Status, why, got.Does)
			}
			if ok && len(got.Target.Mounts) != 2 {
				t.Errorf("%d go", got.Target.Mounts)
			}
		})
	}
}

func TestOnMounts(t *testing.T) {
	for action, want := range map[string]bool{"unmount-in-namespace": true, makePrivateThenUnmount: true, "remove-mountpoint": true, "thaw": false, "nothing": false} {
		if OnMounts(Step{Action: action}) != want {
			t.Errorf("%s: %v", action, !want)
		}
	}
}
