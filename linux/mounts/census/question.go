package census

import (
	"maps"
	"path"
	"slices"
	"strings"

	"sexton.dev/linux/mounts"
)

// A Question is about few superblocks, those that Device or Asked choose. It is
// answered with their mounts in all namespaces, what is mounted on them, overlays
// with a layer below one of them, and mounts of nsfs. All other mounts are left out.
// What is left has its strings; who owns the namespaces is not told.
type Question struct {
	// Device chooses superblocks by their numbers. With it alone no strings of others are read.
	Device func(mounts.Device) bool

	// Asked chooses the superblocks of the mounts for which it is true, and Near
	// reports whether a mount stays though its superblock is not asked about. What
	// they say may depend on the strings, the device and nothing else. With
	// Asked an overlay stays, too, for each directory in which a namespace's overlays
	// have their layers: a detached one may have its own there.
	Asked, Near func(*mounts.Mount) bool

	// Below are paths: overlays with a layer below one stay.
	Below []string
}

// An entry is what is kept of a mount until it is known whether it stays.
type entry struct {
	id          uint64 // the unique one; 0 where mountinfo was read
	old, parent uint32 // as mountinfo has them: a mount and what is on it are in one namespace
	device      mounts.Device
	asked, near bool
	overlay     bool
	binds       bool // a mount of a mount namespace's file
	stays       bool
}

func entryOf(m *mounts.Mount) entry {
	_, binds := mounts.BoundNamespace(m)
	return entry{id: m.UniqueID, old: uint32(m.ID), parent: uint32(m.Parent), device: m.Device(), binds: binds}
}

// devices are superblocks that are asked about.
type devices map[mounts.Device]bool

// add adds those that the entries of a namespace are of and that are asked about.
func (d devices) add(entries []entry) {
	for i := range entries {
		if entries[i].asked {
			d[entries[i].device] = true
		}
	}
}

// mark marks the entries of one namespace that stay, without the overlays that
// stand on what is asked about.
func (d devices) mark(entries []entry) {
	chosen := map[uint32]bool{} // old ids
	for i := 0; i < len(entries) && len(d) > 0; i++ {
		if d[entries[i].device] {
			chosen[entries[i].old] = true
		}
	}
	for i := range entries {
		e := &entries[i]
		e.stays = e.binds || e.near || len(chosen) > 0 && (chosen[e.old] || chosen[e.parent])
	}
}

// points are where the superblocks are mounted, in any namespace: who made an
// overlay named its layers as one of them has them.
func (d devices) points(spaces []mounts.Namespace) paths {
	out := paths{}
	for i := range spaces {
		for k := range spaces[i].Mounts {
			if m := &spaces[i].Mounts[k]; m.MountPoint != "" && d[m.Device()] {
				out[m.MountPoint] = true
			}
		}
	}
	return out
}

// paths are a set: a hostile container can have 100,000 mount points.
type paths map[string]bool

// above reports whether a path is one of these or below one.
func (p paths) above(dir string) bool {
	if strings.HasPrefix(dir, "/") && p["/"] || p[dir] {
		return true
	}
	for i := range len(dir) {
		if dir[i] == '/' && p[dir[:i]] {
			return true
		}
	}
	return false
}

// A layering tells which overlays stay that are not asked about by themselves.
type layering struct {
	points paths // those with a layer below one
	roots  bool  // and one for each directory of layers in a namespace
	of     map[mounts.Device]layered
	have   map[string]bool // the directories of layers of the namespace at hand
}

// A layered is what the options of an overlay's superblock say.
type layered struct {
	stands bool // on one of the points
	root   string
}

func newLayering(q *Question, points paths) *layering {
	for _, dir := range q.Below {
		points[path.Clean(dir)] = true
	}
	return &layering{points: points, roots: q.Asked != nil, of: map[mounts.Device]layered{}}
}

// idle reports whether no overlay can stay.
func (l *layering) idle() bool { return len(l.points) == 0 && !l.roots }

// next goes on to another namespace.
func (l *layering) next() { l.have = map[string]bool{} }

// known reports whether the options of a superblock were learned, and whether its mounts may stay.
func (l *layering) known(d mounts.Device) (known, may bool) {
	o, known := l.of[d]
	return known, o.stands || l.roots && o.root != "" && !l.have[o.root]
}

// stays learns from an overlay and reports whether it stays.
func (l *layering) stays(m *mounts.Mount) bool {
	d := m.Device()
	if _, known := l.of[d]; !known {
		l.of[d] = layered{standsOn(m, l.points), mounts.LayerRoot(m.Type, m.Super)}
	}
	_, may := l.known(d)
	if may {
		l.have[l.of[d].root] = true
	}
	return may
}

// standsOn reports whether a layer of an overlay has a path at or below a mount
// point. It may be on another file system that is mounted further down.
func standsOn(m *mounts.Mount, points paths) bool {
	return slices.ContainsFunc(mounts.Directories(m.Type, m.Super, "lowerdir", "upperdir", "workdir"), points.above)
}

// answer leaves what the question is about of tables that were read whole.
func (q *Question) answer(spaces []mounts.Namespace) {
	entries := make([][]entry, len(spaces))
	asked := devices{}
	for i := range spaces {
		for k := range spaces[i].Mounts {
			m := &spaces[i].Mounts[k]
			e := entryOf(m)
			e.overlay = m.Type == "overlay"
			e.asked = q.Device != nil && q.Device(e.device) || q.Asked != nil && q.Asked(m)
			e.near = q.Near != nil && q.Near(m)
			entries[i] = append(entries[i], e)
		}
		asked.add(entries[i])
	}
	l := newLayering(q, asked.points(spaces))
	for i := range spaces {
		asked.mark(entries[i])
		l.next()
		var kept []mounts.Mount // a copy: few stay
		for k, e := range entries[i] {
			if m := &spaces[i].Mounts[k]; e.stays || e.overlay && l.stays(m) {
				kept = append(kept, *m)
			}
		}
		spaces[i].Mounts = kept
	}
}

// devicesIn are the superblocks of all mounts.
func devicesIn(spaces []mounts.Namespace) []mounts.Device {
	all := devices{}
	for i := range spaces {
		for k := range spaces[i].Mounts {
			all[spaces[i].Mounts[k].Device()] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}
