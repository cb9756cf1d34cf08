package holding

import (
	"sexton.dev/linux/mounts"
	"sexton.dev/snapshot"
)

// Unsure are the mounts of which no table tells whether they are locked: those
// in the namespaces of other user namespaces than the host's first. The kernel
// locks what is copied there to its parent.
//
// A namespace that the first one's root made out of such a one has locks too, and
// is not told from others: its mounts are not in here.
func Unsure(all *snapshot.Mounts) map[uint64]bool {
	out := map[uint64]bool{}
	for i := range all.Namespaces {
		ns := &all.Namespaces[i]
		if !foreign(ns) {
			continue
		}
		top := topOf(ns)
		for k := range ns.Mounts {
			if m := &ns.Mounts[k]; m != top {
				out[m.ID] = true
			}
		}
	}
	return out
}

// foreign reports whether another user namespace owns it than the one that the
// host began with, which has the same number on every host and need not be listed:
// inside of a rootless container it is not.
func foreign(ns *snapshot.MountNamespace) bool {
	return ns.Owner != 0 && ns.Owner != mounts.FirstUserNamespace && len(ns.Mounts) > 0
}

// topOf is the mount of a namespace whose parent is not listed: the lowest such.
func topOf(ns *snapshot.MountNamespace) *snapshot.Mount {
	listed := map[uint64]bool{}
	for i := range ns.Mounts {
		listed[ns.Mounts[i].ID] = true
	}
	var top *snapshot.Mount
	for i := range ns.Mounts {
		if m := &ns.Mounts[i]; (!listed[m.Parent] || m.Parent == m.ID) && (top == nil || m.ID < top.ID) {
			top = m
		}
	}
	return top
}

// bornLocked guesses which of those are locked: what a clone made with its
// namespace is numbered without a gap, first the root that no table lists, next
// "/". A container that has turned to a root of its own has another number there,
// and nothing left of what it was cloned with. What was mounted at once after the
// clone is taken for a part of it.
func bornLocked(ns *snapshot.MountNamespace) map[uint64]bool {
	out := map[uint64]bool{}
	if !foreign(ns) {
		return out
	}
	top := topOf(ns)
	if top == nil || top.Parent != 0 && top.Parent != top.ID && top.Parent+1 != top.ID {
		return out
	}
	ids := map[uint64]bool{}
	for i := range ns.Mounts {
		ids[ns.Mounts[i].ID] = true
	}
	for id := top.ID + 1; ids[id]; id++ {
		out[id] = true
	}
	return out
}
