package verdict

import (
	"fmt"

	"sexton.dev/propagation"
)

// copy judges one copy c, in to, of the mount m that is unmounted in from.
func (j *judge) copy(from, to Side, m, c propagation.Mount, effect propagation.Effect) (verdict, why string) {
	parent, above := j.above(m.ID)
	below, known := j.above(c.ID)
	switch {
	case !above && (!known || tags(below) != "private"):
		return j.byTags(m, c)
	case !above: // whatever the victim's parent is, a private parent receives nothing
		return Stays, fmt.Sprintf("its parent in %s, %s, is private: no unmount reaches what is on it", to.Name, name(below))
	case parent.Peer == 0:
		return Stays, fmt.Sprintf("its parent in %s, %s, is %s: an unmount on it is told to nobody", from.Name, name(parent), withGroups(parent))
	case !known:
		return j.byTags(m, c)
	}
	if !j.q.Complete {
		if v, why := j.leads(parent, below, to); v != Goes {
			return v, why
		}
	}
	if effect.Errno != 0 {
		return Stays, j.refused(effect)
	}
	for _, f := range effect.Fates {
		if f.Mount == c.ID {
			if f.Goes {
				return Goes, j.goes(f, parent, to)
			}
			return Stays, j.stays(f, parent, to)
		}
	}
	return Stays, fmt.Sprintf("%s in %s is no copy of it: it shows another part of the file system", name(c), to.Name)
}

// above is the mount that another one is on.
func (j *judge) above(id uint64) (propagation.Mount, bool) {
	place, ok := j.t.On(id)
	if !ok {
		return propagation.Mount{}, false
	}
	return j.t.Mount(place.Mount)
}

// leads says whether the events of a parent reach another, if some mounts on the
// way may be missing in the table.
func (j *judge) leads(parent, below propagation.Mount, to Side) (verdict, why string) {
	if below.Peer == parent.Peer {
		return Goes, ""
	}
	seen := map[uint64]bool{}
	for master := below.Master; ; {
		switch {
		case master == 0:
			return Stays, fmt.Sprintf("its parent in %s, %s, is %s: it receives nothing from group %d", to.Name, name(below), withGroups(below), parent.Peer)
		case master == parent.Peer:
			return Goes, ""
		case seen[master]:
			return Unknown, "the excerpts contradict each other"
		}
		seen[master] = true
		next, listed := j.t.GroupMaster(master)
		if !listed {
			return Unknown, fmt.Sprintf("its parent in %s, %s, receives from group %d, and the excerpt has no member of that", to.Name, name(below), master)
		}
		master = next
	}
}

// byTags judges by the mounts' own tags, where their parents are not listed. What
// is mounted below a shared mount becomes shared, so a private mount was made
// below a private one, or private later; a copy's group was cloned with its parent's.
func (j *judge) byTags(m, c propagation.Mount) (verdict, why string) {
	const likely = ": by its own tags; its parents, which decide, are not in the excerpt"
	switch {
	case m.Peer == 0:
		return Stays, fmt.Sprintf("the mount that is unmounted is %s and has no peers or slaves", withGroups(m)) + likely
	case c.Peer == m.Peer:
		return Goes, fmt.Sprintf("the copy is in the same peer group, %d", m.Peer) + likely
	}
	seen := map[uint64]bool{}
	for master := c.Master; ; {
		switch {
		case master == 0:
			return Stays, fmt.Sprintf("the copy is %s: it does not receive from group %d", withGroups(c), m.Peer) + likely
		case master == m.Peer:
			return Goes, fmt.Sprintf("the copy is %s: it receives from group %d", withGroups(c), m.Peer) + likely
		case seen[master]:
			return Unknown, "the excerpts contradict each other"
		}
		seen[master] = true
		next, listed := j.t.GroupMaster(master)
		if !listed {
			return Unknown, fmt.Sprintf("the copy receives from group %d, and the excerpt has no member of that", master)
		}
		master = next
	}
}
