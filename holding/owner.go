package holding

import (
	"slices"

	"sexton.dev/snapshot"
)

// A resident is who lives in a namespace, as far as its mounts' ownership goes.
type resident struct {
	peopled   bool
	depth     int  // of its process nearest to the first one
	daemon    bool // one of its processes mounts for containers
	container bool // one of its processes is in a container
}

// daemons mount for containers.
var daemons = []string{"dockerd", "containerd", "kubelet", "crio", "podman"}

func residents(h *snapshot.Host) []resident {
	depths := map[int]int{}
	out := make([]resident, len(h.Mounts.Namespaces))
	for i := range out {
		r := &out[i]
		for _, pin := range h.Mounts.Namespaces[i].Pins {
			if pin.Kind != "process" {
				continue
			}
			if d := depthOf(h, pin.PID, depths); !r.peopled || d < r.depth {
				r.depth = d
			}
			r.peopled = true
			if p := h.Process(pin.PID); p != nil {
				r.daemon = r.daemon || p.Container == "" && slices.Contains(daemons, p.Comm)
				r.container = r.container || p.Container != ""
			}
		}
	}
	return out
}

// depthOf is how many parents a process has. One whose parent is outside of the PID
// namespace, as who came by nsenter, is no nearer to the first than its children are.
func depthOf(h *snapshot.Host, pid int, known map[int]int) int {
	const most = 1000
	if d, ok := known[pid]; ok {
		return d
	}
	d := 0
	switch p := h.Process(pid); {
	case p != nil && p.PPID == 0 && pid != 1:
		d = 1 + depthOf(h, 1, known)
	case p != nil && p.PPID != pid:
		known[pid] = most // where the table has a circle
		d = min(most, 1+depthOf(h, p.PPID, known))
	}
	known[pid] = d
	return d
}

// Owners are the namespaces in which container software mounts and unmounts what
// stands on this superblock: those of its daemons, and the one that is nearest to
// the first process, which is the host's.
func (m *Map) Owners(device string) []*snapshot.MountNamespace { return m.owners[device] }

func (m *Map) ownersOf(spots []spot) []*snapshot.MountNamespace {
	var out []*snapshot.MountNamespace
	top, last := int32(-1), int32(-1)
	for _, s := range spots {
		if s.space == last || !m.lives[s.space].peopled {
			continue
		}
		last = s.space
		if m.lives[s.space].daemon {
			out = append(out, &m.h.Mounts.Namespaces[s.space])
		}
		if top < 0 || m.lives[s.space].depth < m.lives[top].depth {
			top = s.space
		}
	}
	if top >= 0 && !m.lives[top].daemon {
		out = append(out, &m.h.Mounts.Namespaces[top])
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

// InUseByNone reports whether no container's own namespace has a superblock
// mounted where its programs see it: as its root, or at any path that is not one
// of container software.
func (m *Map) InUseByNone(device string) bool {
	for _, s := range m.on[device] {
		if !m.lives[s.space].container {
			continue
		}
		if mount := s.in(m.h).Mount; mount.Point == "/" || m.Shape(mount).What == "" {
			return false
		}
	}
	return true
}
