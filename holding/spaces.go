package holding

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// A Space is a mount namespace and who lives in it.
type Space struct {
	*snapshot.MountNamespace
	Host      bool              // PID 1 of the host lives in it
	Root      *snapshot.Mount   // what is its "/"; nil if that was not read
	Process   *snapshot.Process // with the lowest pid; nil if none is known
	Container string            // of that process; "" on the host
	Unit      string            // of that process, if it is in no container

	all *Map
}

// Spaces are the mount namespaces of a look, the host's first, then by the pid
// that lives in them, then those without a process; made once.
//
// It needs [snapshot.MountTables] and [snapshot.Places].
func Spaces(h *snapshot.Host) []Space { return snapshot.Derived(h, newSpaces) }

func newSpaces(h *snapshot.Host) []Space {
	if h.Mounts == nil {
		return nil
	}
	out := make([]Space, 0, len(h.Mounts.Namespaces))
	for i := range h.Mounts.Namespaces {
		s := Space{MountNamespace: &h.Mounts.Namespaces[i], all: MapOf(h)}
		s.Root = rootOf(s.MountNamespace)
		s.Host = slices.ContainsFunc(s.Pins, func(p snapshot.Pin) bool { return p.Kind == "process" && p.PID == 1 })
		if pin := Pinned(h, s.MountNamespace); pin.Kind == "process" || pin.Kind == "thread" {
			s.Process = h.Process(pin.PID)
		}
		if s.Process != nil {
			s.Container = s.Process.Container
		}
		if s.Process != nil && s.Container == "" {
			s.Unit = Unit(s.Process.Cgroup)
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b Space) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Inode, b.Inode))
	})
	return out
}

// rootOf is what is the "/" of a namespace, nil if that was not read.
func rootOf(ns *snapshot.MountNamespace) *snapshot.Mount {
	var root *snapshot.Mount
	for k := range ns.Mounts {
		if ns.Mounts[k].Point == "/" {
			root = &ns.Mounts[k] // the last one covers the others
		}
	}
	return root
}

func (s *Space) rank() int {
	const last = 1 << 30
	switch {
	case s.Host:
		return 0
	case s.Process != nil:
		return s.Process.PID
	}
	return last
}

// Has reports whether anything of a superblock is mounted in the namespace.
func (s *Space) Has(device string) bool { return s.all.Has(s.MountNamespace, device) }

// Label names who lives in the namespace, for a sentence.
func (s *Space) Label(h *snapshot.Host) string {
	switch {
	case s.Process == nil:
		return "a mount namespace without a process"
	case s.Unit != "":
		return s.Unit + ", " + check.Label(h, s.Process)
	}
	return check.Label(h, s.Process)
}

// Below lists the mounts of the namespace that stand on m, at any depth.
func (s *Space) Below(m *snapshot.Mount) []*snapshot.Mount {
	children := childrenOf(s.all.h)
	var out []*snapshot.Mount
	seen := map[uint64]bool{m.ID: true} // a torn table may have a circle
	for todo := []*snapshot.Mount{m}; len(todo) > 0; todo = todo[1:] {
		for _, on := range children[todo[0].ID] {
			p := on.in(s.all.h)
			if c := p.Mount; p.Namespace == s.MountNamespace && !seen[c.ID] {
				seen[c.ID] = true
				out, todo = append(out, c), append(todo, c)
			}
		}
	}
	return out
}

// Path is where a directory of a superblock is in the namespace, and the mount
// that leads there; nil if none does. Of several the one that is nearest to it.
func (s *Space) Path(device, root string) (string, *snapshot.Mount) {
	var best *snapshot.Mount
	for _, spot := range s.all.within(s.MountNamespace, device) {
		m := spot.in(s.all.h).Mount
		if within(root, m.Root) && (best == nil || len(m.Root) > len(best.Root)) {
			best = m
		}
	}
	if best == nil {
		return "", nil
	}
	return path.Join(best.Point, strings.TrimPrefix(root, strings.TrimSuffix(best.Root, "/"))), best
}

// Within reports whether a path is a directory or below it.
func Within(path, dir string) bool { return within(path, dir) }

// Reaches reports whether an unmount on from reaches the same place on to: they
// are peers, or to receives from that group, through whatever other groups.
//
// Source: Linux 6.12 Documentation/filesystems/sharedsubtree.rst.
func (m *Map) Reaches(from, to *snapshot.Mount) bool {
	return from.Shared != 0 && (to.Shared == from.Shared || m.receives(to, from.Shared))
}
