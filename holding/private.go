package holding

import (
	"fmt"
	"slices"

	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// BlastPrivate is [Blast] of a plain unmount after the mount's parent was made
// private, so that the unmount is told to nobody. It returns that parent, and
// refuses where that itself would be missed: by mounts that receive from it, and
// by a namespace in which container software mounts for others.
func BlastPrivate(h *snapshot.Host, id uint64) (parent Place, t Toll, err error) {
	wanted := h.Mount(id)
	if wanted == nil {
		return parent, t, fmt.Errorf("mount %d is in no mount namespace that was read", id)
	}
	m := MapOf(h)
	parent = Place{m.In(wanted), m.Parent(wanted)}
	if parent.Mount == nil {
		return parent, t, fmt.Errorf("what mount %d is mounted on was not read", id)
	}
	if parent.Mount.Point == wanted.Point {
		return parent, Toll{Refused: "it covers what it is mounted on, to which no path leads then"}, nil
	}
	made := unlocked(h).Make(parent.Mount.ID, "private")
	if why := m.cutOff(parent, made); why != "" {
		return parent, Toll{Refused: why}, nil
	}
	mounts, spaces := mountsOf(h.Mounts)
	for i := range mounts {
		mounts[i].Locked = false
	}
	table, _ := propagation.New(made.Apply(mounts), spaces)
	v := table.Unmount(propagation.Call{Mount: wanted.ID, Namespace: parent.Namespace.Inode, Held: Held(h)})
	return parent, m.toll(v, wanted), nil
}

// cutOff says who would miss what a mount tells to others.
func (m *Map) cutOff(parent Place, made propagation.Effect) string {
	at := fmt.Sprintf("mount %d on %s in mnt:[%d]", parent.Mount.ID, parent.Mount.Point, parent.Namespace.Inode)
	if m.lives[m.number[parent.Namespace]].daemon || slices.Contains(m.Owners(parent.Mount.Device), parent.Namespace) {
		return fmt.Sprintf("%s mounts for others on %s, which would not see it if that were private", m.label(parent.Namespace), at)
	}
	for _, c := range made.Changed {
		if mount := m.h.Mount(c.Before.ID); c.Before.Master != c.After.Master && mount != nil && mount != parent.Mount {
			return fmt.Sprintf("mount %d on %s in mnt:[%d] receives from %s, and would not if that were private", mount.ID, mount.Point, m.In(mount).Inode, at)
		}
	}
	return ""
}
