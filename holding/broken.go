package holding

import (
	"cmp"
	"fmt"

	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// A Break is where the way of an unmount from an owner's namespace to a copy is cut.
type Break struct {
	Point string // the mount in the chain that is above the copy
	Owner string // how it stands in the owner's namespace: "private", "shared:3"; "" if it is not there
	Here  string // and how in the copy's
	Ours  bool   // the owner's own mount is private: that is the cause
}

// FindBreak looks in the parent chain of a copy for the mount that receives
// nothing from the owner's: nearest first, as the kernel asks the parent alone.
// Not ok: each one receives, so the copy stayed for another reason, or the
// owner's chain is gone.
func (m *Map) FindBreak(copy *snapshot.Mount, owner *snapshot.MountNamespace) (b Break, ok bool) {
	const deepest = 100
	for at, n := m.Parent(copy), 0; at != nil && n < deepest; at, n = m.Parent(at), n+1 {
		theirs := m.same(at, owner)
		switch {
		case theirs == nil && n == 0:
			return Break{Point: at.Point, Here: Tags(at)}, true
		case theirs == nil:
			continue
		case !m.Reaches(theirs, at):
			return Break{Point: at.Point, Owner: Tags(theirs), Here: Tags(at), Ours: theirs.Shared == 0}, true
		}
		return Break{}, false
	}
	return Break{}, false
}

// same is the owner's mount of the same part of the same superblock at the end
// of the same path, nil if it has none.
func (m *Map) same(at *snapshot.Mount, owner *snapshot.MountNamespace) *snapshot.Mount {
	var found *snapshot.Mount
	for _, s := range m.within(owner, at.Device) {
		if o := s.in(m.h).Mount; o.Root == at.Root && (found == nil || o.Point == at.Point) {
			found = o
		}
	}
	return found
}

// receives reports whether a mount is a slave, over other groups perhaps, of a group.
func (m *Map) receives(at *snapshot.Mount, group uint64) bool {
	for master, n := at.Master, 0; master != 0 && n <= len(m.masters); master, n = m.masters[master], n+1 {
		if master == group {
			return true
		}
	}
	return false
}

// Tags is the propagation of a mount as mountinfo writes it, or "private".
func Tags(m *snapshot.Mount) string {
	return cmp.Or(propagation.Tags(m.Shared, m.Master), "private")
}

// Line is a mount as mountinfo writes it, without the options.
func Line(m *snapshot.Mount) string {
	tags := Tags(m)
	if tags == "private" {
		tags = "(private)"
	}
	return fmt.Sprintf("%d %d %s %s %s %s - %s %s", m.ID, m.Parent, m.Device, m.Root, m.Point, tags, m.Type, m.Source)
}
