package holding

import (
	"fmt"
	"testing"

	"sexton.dev/snapshot"
)

// peers is [leaky] with a third namespace that is a peer of the unit's: what the
// unit unmounts goes there too.
func peers(change ...func(h *snapshot.Host)) *snapshot.Host {
	h := leaky()
	ns := h.Mounts.Namespaces
	ns[1].Mounts[0].Shared = 7
	ns[2].Mounts = []snapshot.Mount{{ID: 300, Parent: 299, Device: "8:3", Root: "/", Point: "/", Shared: 7}, {ID: 301, Parent: 300, Device: "0:51", Root: "/", Point: merged}}
	ns[2].Pins = []snapshot.Pin{{Kind: "process", PID: 70}}
	ns[1].Pins = []snapshot.Pin{{Kind: "fd", PID: 70, FD: 4}}
	for _, c := range change {
		c(h)
	}
	h.Sort()
	return h
}

func TestBlastPrivate(t *testing.T) {
	used := func(h *snapshot.Host) {
		h.Mounts.References = append(h.Mounts.References, snapshot.Reference{PID: 70, Kind: "cwd", Mount: 301, Device: "0:51"})
	}
	slave := func(h *snapshot.Host) {
		h.Mounts.Namespaces[2].Mounts[0].Shared, h.Mounts.Namespaces[2].Mounts[0].Master = 0, 7
	}
	for _, tt := range []struct {
		name          string
		change        []func(*snapshot.Host)
		id            uint64
		plain, parted string
	}{
		{"a copy goes along, or not", nil, 201, "goes 201 victim, 301 received", "goes 201 victim; stays 301"},
		{"the copy is used", []func(*snapshot.Host){used}, 201, "refused: its copy on " + merged + ", which goes along, is in use: httpd (pid 70), httpd.service uses it (cwd)", "goes 201 victim; stays 301"},
		{"the copy has come onto a root", []func(*snapshot.Host){func(h *snapshot.Host) {
			h.Mounts.Namespaces[1].Mounts[1] = snapshot.Mount{ID: 201, Parent: 202, Device: "0:51", Root: "/", Point: merged}
			h.Mounts.Namespaces[1].Mounts = append(h.Mounts.Namespaces[1].Mounts, snapshot.Mount{ID: 202, Parent: 200, Device: "0:52", Root: "/", Point: merged, Shared: 9})
			h.Mounts.Namespaces[2] = snapshot.MountNamespace{Inode: 3, Mounts: []snapshot.Mount{{ID: 300, Parent: 299, Device: "0:52", Root: "/", Point: "/", Master: 9}, {ID: 301, Parent: 300, Device: "0:51", Root: "/", Point: "/"}}}
		}}, 201, "goes 201 victim (whose it is cannot be told), 301 received (it is the root directory of something without a name: no process, thread, bound file or open file; a descriptor in flight)",
			"refused: it covers what it is mounted on, to which no path leads then"},
		{"it is used itself", []func(*snapshot.Host){used}, 301, "refused: it is in use: httpd (pid 70), httpd.service uses it (cwd)", "refused: it is in use: httpd (pid 70), httpd.service uses it (cwd)"},
		{"the other one receives from here", []func(*snapshot.Host){used, slave}, 201, "refused: its copy on " + merged + ", which goes along, is in use: httpd (pid 70), httpd.service uses it (cwd)",
			"refused: mount 300 on / in mnt:[3] receives from mount 200 on / in mnt:[2], and would not if that were private"},
		{"a daemon mounts there", []func(*snapshot.Host){func(h *snapshot.Host) { h.Mounts.Namespaces[1].Pins = []snapshot.Pin{{Kind: "process", PID: 60}} }}, 201,
			"goes 201 victim (its owner has it mounted still: dockerd (pid 60)), 301 received (its owner has it mounted still: dockerd (pid 60))",
			"refused: dockerd (pid 60) mounts for others on mount 200 on / in mnt:[2], which would not see it if that were private"},
		{"it covers its parent", []func(*snapshot.Host){func(h *snapshot.Host) {
			h.Mounts.Namespaces[1].Mounts = append(h.Mounts.Namespaces[1].Mounts, snapshot.Mount{ID: 202, Parent: 201, Device: "0:52", Root: "/", Point: merged})
		}}, 202, "goes 202 victim", "refused: it covers what it is mounted on, to which no path leads then"},
		{"the root", nil, 200, "refused: it is the root of its mount namespace", "error: what mount 200 is mounted on was not read"},
		{"not there", nil, 999, "error: mount 999 is in no mount namespace that was read", "error: mount 999 is in no mount namespace that was read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := peers(tt.change...)
			toll, err := Blast(h, tt.id, false)
			if got := told(toll, err); got != tt.plain {
				t.Errorf("plain\n     %s\nwant %s", got, tt.plain)
			}
			_, toll, err = BlastPrivate(h, tt.id)
			if got := told(toll, err); got != tt.parted {
				t.Errorf("private\n     %s\nwant %s", got, tt.parted)
			}
		})
	}
}

func told(t Toll, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return story(t)
}

func TestBlastRemoval(t *testing.T) {
	with := func(ns int, m snapshot.Mount) func(h *snapshot.Host) {
		return func(h *snapshot.Host) {
			h.Mounts.Namespaces[ns].Mounts = append(h.Mounts.Namespaces[ns].Mounts, m)
		}
	}
	unread := func(part snapshot.Part) func(h *snapshot.Host) {
		return func(h *snapshot.Host) {
			h.Unread = append(h.Unread, snapshot.Unread{Part: part, Path: "/proc/7/fd", Err: "denied"})
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*snapshot.Host)
		id     uint64
		want   string
	}{
		{"alone", nil, 201, "1:" + merged + " goes 201 victim"},
		{"with what is on it", with(1, snapshot.Mount{ID: 202, Parent: 201, Device: "0:70", Root: "/", Point: merged + "/v"}), 201,
			"1:" + merged + " goes 201 victim, 202 below (httpd (pid 70), httpd.service has it mounted)"},
		{"another container's on the same directory", with(2, snapshot.Mount{ID: 302, Parent: 301, Device: "0:77", Root: "/", Point: "/rootfs" + merged}), 201,
			"1:" + merged + " goes 201 victim, 302 victim (app (pid 80), container 4e09fa6803fe has it mounted)"},
		{"a user", func(h *snapshot.Host) {
			h.Mounts.References = []snapshot.Reference{{PID: 70, Kind: "cwd", Mount: 201, Device: "0:51"}}
		}, 201, "1:" + merged + " goes 201 victim (httpd (pid 70), httpd.service uses it (cwd))"},
		{"the owner has it mounted", with(0, snapshot.Mount{ID: 101, Parent: 100, Device: "0:51", Root: "/", Point: merged}), 201,
			"refused: no owner of its file system has that directory with nothing mounted on it or over it"},
		{"the owner has it covered", with(0, snapshot.Mount{ID: 101, Parent: 100, Device: "0:90", Root: "/", Point: "/var"}), 201,
			"refused: no owner of its file system has that directory with nothing mounted on it or over it"},
		{"the owner has it covered at one of two paths", func(h *snapshot.Host) {
			with(0, snapshot.Mount{ID: 101, Parent: 100, Device: "0:90", Root: "/", Point: "/var"})(h)
			with(0, snapshot.Mount{ID: 102, Parent: 100, Device: "8:3", Root: "/var/lib", Point: "/mnt"})(h)
		}, 201, "1:/mnt" + merged[len("/var/lib"):] + " goes 201 victim"},
		{"a mount point by another path", func(h *snapshot.Host) {
			with(0, snapshot.Mount{ID: 102, Parent: 100, Device: "8:3", Root: "/var/lib", Point: "/mnt"})(h)
			with(0, snapshot.Mount{ID: 103, Parent: 102, Device: "0:91", Root: "/", Point: "/mnt" + merged[len("/var/lib"):]})(h)
		}, 201, "refused: its directory is a mount point in its owner's namespace, by another path"},
		{"users that were not all seen", unread(snapshot.References), 201, "refused: who uses it was not all looked for: /proc/7/fd: denied"},
		{"namespaces that were not all seen", unread(snapshot.MountTables), 201, "refused: who uses it was not all looked for: /proc/7/fd: denied"},
		{"a name that was not read", unread(snapshot.Names), 201, "1:" + merged + " goes 201 victim"},
		{"in a PID namespace", func(h *snapshot.Host) { h.Nested = true }, 201, "refused: who uses it was not all looked for: /proc is that of a PID namespace, and others may be outside"},
		{"a torn table", func(h *snapshot.Host) { h.Mounts.Settled = false }, 201, "refused: who uses it was not all looked for: mounts came and went all the time"},
		{"a root", nil, 200, "error: what mount 200 is mounted on was not read"},
		{"not there", nil, 999, "error: what mount 999 is mounted on was not read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := leaky()
			h.Mounts.Settled = true
			if tt.change != nil {
				tt.change(h)
			}
			h.Sort()
			at, toll, err := BlastRemoval(h, tt.id)
			got := told(toll, err)
			if err == nil && toll.Refused == "" {
				got = fmt.Sprintf("%d:%s %s", at.Namespace.Inode, at.Path, got)
			}
			if got != tt.want {
				t.Errorf("\n     %s\nwant %s", got, tt.want)
			}
		})
	}
}
