package holding

import (
	"testing"

	"sexton.dev/snapshot"
)

// The root of a container is that of a process inside of it: runc, which the shim
// starts for an exec, stands where the shim does until it has gone in.
func TestStrandOf(t *testing.T) {
	space := func(inode uint64, pid int, devices ...string) snapshot.MountNamespace {
		ns := snapshot.MountNamespace{Inode: inode, Pins: []snapshot.Pin{{Kind: "process", PID: pid}}}
		for i, d := range devices {
			ns.Mounts = append(ns.Mounts, snapshot.Mount{ID: inode*10 + uint64(i), Device: d, Root: "/", Point: map[bool]string{true: "/", false: "/layer"}[i == 0]})
		}
		return ns
	}
	const host, layer = "8:1", "0:50"
	for _, tt := range []struct {
		name                 string
		daemon, shim, inside []string // devices: of "/", then of others
		want                 Strand
	}{
		{"lost", []string{host}, []string{host}, []string{layer}, Lost},
		{"kept", []string{host}, []string{host, layer}, []string{layer}, Kept},
		{"reached", []string{host, layer}, []string{host}, []string{layer}, Reached},
		{"nobody inside was read", []string{host}, []string{host}, nil, Unread},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &snapshot.Host{
				Processes: []snapshot.Process{{PID: 5, PPID: 1, Comm: "dockerd"}, {PID: 7, PPID: 1, Comm: "containerd-shim", Argv: []string{"containerd-shim", "-id", "c"}},
					{PID: 8, PPID: 7, Comm: "runc"}, {PID: 9, PPID: 7, Container: "c"}},
				Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{space(1, 5, tt.daemon...), space(2, 7, tt.shim...)}},
			}
			shims := &h.Mounts.Namespaces[1]
			shims.Pins = append(shims.Pins, snapshot.Pin{Kind: "process", PID: 8})
			if tt.inside != nil {
				h.Mounts.Namespaces = append(h.Mounts.Namespaces, space(3, 9, tt.inside...))
			}
			if got := StrandOf(h, h.Process(5), h.Process(7)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
