package checks

import (
	"math/rand/v2"

	"sexton.dev/snapshot"
)

// settle makes one of a host's mount namespaces the host's own, often, and puts
// into the others what the settings of a host lead to.
func settle(r *rand.Rand, h *snapshot.Host) {
	if h.Mounts == nil || len(h.Mounts.Namespaces) == 0 || r.IntN(40) == 0 {
		return
	}
	id := uint64(5000)
	mount := func(ns *snapshot.MountNamespace, m snapshot.Mount) {
		id++
		m.ID, m.Shared, m.Master = id, r.Uint64N(3), r.Uint64N(3)
		ns.Mounts = append(ns.Mounts, m)
	}
	all := h.Mounts.Namespaces
	all[0].Pins = append(all[0].Pins, snapshot.Pin{Kind: "process", PID: 1})
	mount(&all[0], snapshot.Mount{Parent: 1, Device: "8:3", Root: "/", Point: "/", Type: "ext4"})
	mount(&all[0], snapshot.Mount{Parent: id, Device: "8:3", Root: "/var/lib/docker/overlay2", Point: "/var/lib/docker/overlay2", Type: "ext4"})
	for _, root := range []string{"btrfs", "zfs"} {
		mount(&all[0], snapshot.Mount{Parent: 5001, Device: "8:3", Root: "/" + root, Point: "/var/lib/docker/" + root, Type: "ext4"})
	}
	for i := range all[1:] {
		ns := &all[i+1]
		ns.Pins = append(ns.Pins, snapshot.Pin{Kind: "process", PID: 1 + r.IntN(24)})
		mount(ns, snapshot.Mount{Parent: 1, Device: pick(r, "8:3", "0:1"), Root: "/", Point: "/", Type: "ext4"})
		mount(ns, snapshot.Mount{Parent: id, Device: "8:3", Root: pick(r, "/", "/var/lib/docker", "/x"), Point: pick(r, "/rootfs", "/var/lib/docker"), Type: "ext4"})
		mount(ns, snapshot.Mount{Parent: id - 1, Device: "8:3", Root: "/tmp/systemd-private-00000000000000000000000000000000-a.service-9aX3kQ/tmp", Point: "/tmp", Type: "ext4"})
		mount(ns, snapshot.Mount{Parent: pick(r, id, id-1), Device: pick(r, "0:1", "0:2", "0:7"), Root: "/", Point: "/var/lib/docker/overlay2/4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97/merged", Type: "overlay"})
	}
	daemons(r, h)
}

// daemons makes runtimes' processes of some, and a dockerd that outlives its mounts.
func daemons(r *rand.Rand, h *snapshot.Host) {
	for i := range h.Processes {
		if p := &h.Processes[i]; r.IntN(5) == 0 {
			p.Comm, p.Container, p.Argv = pick(r, "dockerd", "containerd", "containerd-shim", "containerd-shim"), "", pick(r, nil, []string{"x", "-id", "aa"})
			ns := &h.Mounts.Namespaces[r.IntN(len(h.Mounts.Namespaces))]
			ns.Pins = append(ns.Pins, snapshot.Pin{Kind: "process", PID: p.PID})
		}
	}
	if r.IntN(2) == 0 {
		h.Settings = &snapshot.Settings{}
		h.Settings.Docker = &snapshot.DockerSettings{Unit: "docker.service", PID: r.IntN(25), LiveRestore: r.IntN(3) > 0, Said: []string{"daemon.json: live-restore"}}
		h.Settings.Units = append(h.Settings.Units, snapshot.UnitSettings{Name: "docker.service", Directives: []snapshot.Directive{{Name: "MountFlags", Value: "slave", File: "/x", Line: 1}}})
	}
}
