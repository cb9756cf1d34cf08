package holding

import (
	"fmt"

	"sexton.dev/snapshot"
)

// A Strand says where the layer of a running container is mounted, besides in the
// container itself.
type Strand string

// What may have become of a layer whose daemon was restarted.
const (
	Reached Strand = "reached" // where the daemon is
	Kept    Strand = "kept"    // where the shim is, and the daemon is not
	Lost    Strand = "lost"    // nowhere: the daemon removed its directory, which took the mount off
	Unread  Strand = "unread"
)

// StrandOf tells it for the container of a shim and the process of its daemon.
func StrandOf(h *snapshot.Host, daemon, shim *snapshot.Process) Strand {
	own, there := h.MountNamespaceOf(daemon.PID), h.MountNamespaceOf(shim.PID)
	root := containerRoot(h, shim, there)
	switch {
	case own == nil || there == nil || root == nil:
		return Unread
	case MapOf(h).Has(own, root.Device):
		return Reached
	case MapOf(h).Has(there, root.Device):
		return Kept
	}
	return Lost
}

// containerRoot is what a process of the shim's container has as its "/". One that is
// where the shim is, as runc on its way into the container, has the shim's.
func containerRoot(h *snapshot.Host, shim *snapshot.Process, there *snapshot.MountNamespace) *snapshot.Mount {
	id := shimOf(shim)
	for i := range h.Processes {
		p := &h.Processes[i]
		if id == "" || p.Container != id && p.PPID != shim.PID {
			continue
		}
		ns := h.MountNamespaceOf(p.PID)
		if ns == nil || ns == there {
			continue
		}
		return rootOf(ns)
	}
	return nil
}

// DetachesRemoved reports whether the kernel takes the mounts of other namespaces
// off a directory that is removed, where it can be known.
//
// Source: Linux 3.15 fs/namespace.c, detach_mounts; RHEL 7.4's fs.may_detach_mounts.
func DetachesRemoved(h *snapshot.Host) (yes, known bool) {
	var major, minor int
	if n, err := fmt.Sscanf(h.Kernel, "%d.%d", &major, &minor); err != nil || n != 2 || h.Settings == nil {
		return false, false
	}
	if major > 3 || major == 3 && minor >= 15 || h.Settings.MayDetach == "1" {
		return true, true
	}
	if h.Settings.MayDetach == "" {
		for _, u := range h.Unread {
			if u.Path == "/proc/sys/fs/may_detach_mounts" {
				return false, false // it is there, and what it says is not known
			}
		}
	}
	return false, true
}
