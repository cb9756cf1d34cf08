package holding

import (
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// A Waiter is a process that waits in the kernel while it uses a device.
type Waiter struct {
	Process *snapshot.Process
	Tasks   []snapshot.Task  // its threads in state D, in both looks if there were two
	On      *snapshot.Mapped // the device of device-mapper that it uses
}

// WaitersOn lists who is in state D and has something open on a device of
// device-mapper or on what stands on it: a thin device of the pool, a volume on that,
// a file system on either, an overlay with a directory there. Who waits for something
// else than a disk is left out. It needs references; before may be nil.
func WaitersOn(before, now *snapshot.Host, device string) []Waiter {
	if now.Mounts == nil || now.Pools == nil {
		return nil
	}
	uses := usesOf(now, device)
	var out []Waiter
	for i := range now.Processes {
		p := &now.Processes[i]
		on := uses[p.PID]
		if on == nil {
			continue
		}
		stuck := p.Tasks
		if before != nil {
			stuck = nil
			if was := before.Same(p.ID()); was != nil {
				stuck = check.StillBlocked(was, p)
			}
		}
		stuck = slices.DeleteFunc(slices.Clone(stuck), func(t snapshot.Task) bool { return !forDisk(t) })
		if len(stuck) > 0 {
			out = append(out, Waiter{p, stuck, on})
		}
	}
	return out
}

// usesOf tells, by process, which device it uses of those that stand on this one.
func usesOf(h *snapshot.Host, device string) map[int]*snapshot.Mapped {
	stands := standing(h.Pools, device)
	supers := map[string]*snapshot.Mapped{} // by the number of a file system's device
	nodes := map[string]*snapshot.Mapped{}
	m := MapOf(h)
	for _, d := range stands {
		supers[d.Device] = d
		_, minor, _ := strings.Cut(d.Device, ":")
		nodes["/dev/dm-"+minor], nodes["/dev/mapper/"+d.Name] = d, d
	}
	for _, d := range stands {
		for _, k := range Of(h, m.OnDevice(d.Device)) {
			if mount := h.Mount(k.MountID); k.Kind == "overlay" && mount != nil && supers[mount.Device] == nil {
				supers[mount.Device] = d
			}
		}
	}
	out := map[int]*snapshot.Mapped{}
	for i := range h.Mounts.References {
		r := &h.Mounts.References[i]
		on := supers[r.Device]
		if mount := h.Mount(r.Mount); on == nil && mount != nil { // on btrfs and overlays a file has another number
			on = supers[mount.Device]
		}
		if on == nil && r.Kind == "fd" {
			on = nodes[r.Link]
		}
		if on != nil && out[r.PID] == nil {
			out[r.PID] = on
		}
	}
	return out
}

// standing lists a device and all that stand on it.
func standing(all *snapshot.Pools, device string) []*snapshot.Mapped {
	in := map[string]bool{device: true}
	var out []*snapshot.Mapped
	for grown := true; grown; {
		grown = false
		for i := range all.Devices {
			d := &all.Devices[i]
			on := in[d.Device] || d.Thin != nil && in[d.Thin.Pool] || slices.ContainsFunc(d.Below, func(b string) bool { return in[b] })
			if on && !slices.Contains(out, d) {
				out, in[d.Device], grown = append(out, d), true, true
			}
		}
	}
	return out
}

// elsewhere is what the names of kernel functions begin with that wait for something
// else than a disk: a server, a child after vfork, the end of a freeze.
var elsewhere = []string{"nfs", "rpc_", "ceph", "cifs", "smb2", "refrigerator", "kernel_clone", "do_fork", "wait_for_vfork"}

// forDisk reports whether a thread may wait for a disk, or for who does.
func forDisk(t snapshot.Task) bool {
	names := append(strings.Split(t.Stack, " < "), t.Wchan)
	return t.State == snapshot.Uninterruptible && !t.InFUSE() && !slices.ContainsFunc(names, func(name string) bool {
		name = strings.TrimLeft(name, "_")
		return slices.ContainsFunc(elsewhere, func(mark string) bool { return strings.HasPrefix(name, mark) })
	})
}
