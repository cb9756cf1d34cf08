package holding

import (
	"slices"

	"sexton.dev/snapshot"
)

// A Map tells whose mount namespaces are whose.
type Map struct {
	h       *snapshot.Host
	of      map[string][]*snapshot.MountNamespace // those that have a superblock mounted
	byID    map[uint64]*snapshot.MountNamespace
	daemon  map[*snapshot.MountNamespace]bool
	depth   map[*snapshot.MountNamespace]int // of its process nearest to the first one; none: without a process
	at      map[uint64]*snapshot.Mount
	masters map[uint64]uint64 // of a peer group: the one that it receives from
}

// MapOf indexes the mounts of a look, which must have them, once.
func MapOf(h *snapshot.Host) *Map { return snapshot.Derived(h, newMap) }

func newMap(h *snapshot.Host) *Map {
	m := &Map{h: h, of: map[string][]*snapshot.MountNamespace{}, byID: map[uint64]*snapshot.MountNamespace{},
		daemon: map[*snapshot.MountNamespace]bool{}, depth: map[*snapshot.MountNamespace]int{}, at: map[uint64]*snapshot.Mount{}, masters: map[uint64]uint64{}}
	depths := map[int]int{}
	for i := range h.Mounts.Namespaces {
		ns := &h.Mounts.Namespaces[i]
		for k := range ns.Mounts {
			mount := &ns.Mounts[k]
			m.at[mount.ID] = mount
			m.byID[mount.ID] = ns
			if mount.Shared != 0 {
				m.masters[mount.Shared] = mount.Master
			}
			if all := m.of[mount.Device]; len(all) == 0 || all[len(all)-1] != ns {
				m.of[mount.Device] = append(all, ns)
			}
		}
		for _, p := range ns.Pins {
			if p.Kind != "process" {
				continue
			}
			d := m.depthOf(p.PID, depths)
			if was, known := m.depth[ns]; !known || d < was {
				m.depth[ns] = d
			}
			m.daemon[ns] = m.daemon[ns] || m.isDaemon(p.PID)
		}
	}
	return m
}

// depthOf is how many parents a process has.
func (m *Map) depthOf(pid int, known map[int]int) int {
	const most = 1000
	if d, ok := known[pid]; ok {
		return d
	}
	d := 0
	if p := m.h.Process(pid); p != nil && p.PPID != pid {
		known[pid] = most // where the table has a circle
		d = min(most, 1+m.depthOf(p.PPID, known))
	}
	known[pid] = d
	return d
}

// isDaemon reports whether a process mounts for containers and is in none itself.
func (m *Map) isDaemon(pid int) bool {
	p := m.h.Process(pid)
	return p != nil && p.Container == "" && slices.Contains([]string{"dockerd", "containerd", "kubelet", "crio", "podman"}, p.Comm)
}

// Owners are the namespaces in which container software mounts and unmounts what
// stands on this superblock: those of its daemons, and the one that is nearest to
// the first process, which is the host's.
func (m *Map) Owners(device string) []*snapshot.MountNamespace {
	var out []*snapshot.MountNamespace
	var top *snapshot.MountNamespace
	for _, ns := range m.of[device] {
		d, peopled := m.depth[ns]
		if !peopled {
			continue
		}
		if m.daemon[ns] {
			out = append(out, ns)
		}
		if top == nil || d < m.depth[top] {
			top = ns
		}
	}
	if top != nil && !slices.Contains(out, top) {
		out = append(out, top)
	}
	return out
}

// Owner is the first owner of a mount that has it, nil if none has. It is not
// known if whose it is cannot be told from this copy.
func (m *Map) Owner(mount *snapshot.Mount) (owner *snapshot.MountNamespace, known bool) {
	base := m.Base(mount)
	owners := m.Owners(base)
	if base == "" || base == mount.Device || len(owners) == 0 {
		return nil, false
	}
	for _, o := range owners {
		if m.Has(o, mount.Device) {
			return o, true
		}
	}
	return nil, true
}

// Base is the superblock that a mount's mount point is on, "" if its parent is not listed.
func (m *Map) Base(mount *snapshot.Mount) string {
	if p := m.at[mount.Parent]; p != nil {
		return p.Device
	}
	return ""
}

// Has reports whether a namespace has a superblock mounted.
func (m *Map) Has(ns *snapshot.MountNamespace, device string) bool {
	return slices.Contains(m.of[device], ns)
}

// Namespaces are those that have a superblock mounted, by inode.
func (m *Map) Namespaces(device string) []*snapshot.MountNamespace { return m.of[device] }

// Parent is what a mount is mounted on, nil if that is not listed.
func (m *Map) Parent(mount *snapshot.Mount) *snapshot.Mount {
	if p := m.at[mount.Parent]; p != mount {
		return p
	}
	return nil
}

// In is the namespace that a mount is in.
func (m *Map) In(mount *snapshot.Mount) *snapshot.MountNamespace { return m.byID[mount.ID] }

// InUseByNone reports whether no container's own namespace has a superblock
// mounted where its programs see it: as its root, or at any path that is not one
// of container software.
func (m *Map) InUseByNone(device string) bool {
	for _, ns := range m.of[device] {
		for i := range ns.Mounts {
			mount := &ns.Mounts[i]
			if mount.Device == device && (mount.Point == "/" || ShapeOf(mount).What == "") && m.inContainer(ns) {
				return false
			}
		}
	}
	return true
}

// inContainer reports whether a namespace's processes are those of a container.
func (m *Map) inContainer(ns *snapshot.MountNamespace) bool {
	for _, pin := range ns.Pins {
		if p := m.h.Process(pin.PID); pin.Kind == "process" && p != nil && p.Container != "" {
			return true
		}
	}
	return false
}
