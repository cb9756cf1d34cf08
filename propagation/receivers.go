package propagation

// A Receiver gets what is mounted and unmounted below a sender.
type Receiver struct {
	Mount uint64
	Slave bool // it is a slave of the last group of the way, and in no group itself; else a member
	Via   *Hop // the last group of the way; the sender's is the first
}

// A Hop is one peer group on the way of an event. Its members are slaves of the one it came from.
type Hop struct {
	Group uint64
	From  *Hop // nil for the sender's own group
}

// Receivers lists who gets the events of a mount, nearest first: the others in its peer group, the
// slaves of that group, and so on. Nobody if the mount is not shared or not listed.
//
// Source: Linux 6.18 fs/pnode.c, propagation_next.
func (t *Table) Receivers(id uint64) []Receiver {
	i, listed := t.byID[id]
	if !listed {
		return nil
	}
	var out []Receiver
	t.spread(t.mounts[i].Peer, func(r int, via *Hop) {
		if r != i {
			out = append(out, Receiver{Mount: t.mounts[r].ID, Slave: t.mounts[r].Peer != via.Group, Via: via})
		}
	})
	return out
}

// spread calls visit once for each member of a group and all who receive from it.
func (t *Table) spread(from uint64, visit func(i int, via *Hop)) {
	if from == 0 {
		return
	}
	seen := map[uint64]bool{from: true}
	for queue := []*Hop{{Group: from}}; len(queue) > 0; queue = queue[1:] {
		hop := queue[0]
		g := t.groups[hop.Group]
		if g == nil {
			continue
		}
		for _, i := range g.members {
			visit(i, hop)
		}
		for _, i := range g.slaves {
			switch peer := t.mounts[i].Peer; {
			case peer == 0:
				visit(i, hop)
			case !seen[peer]:
				seen[peer] = true
				queue = append(queue, &Hop{peer, hop})
			}
		}
	}
}

// reach is all that spread visits.
func (t *Table) reach(group uint64) (all []int) {
	t.spread(group, func(i int, _ *Hop) { all = append(all, i) })
	return all
}

// copies are the children of the receivers of a mount's parent, at the same entry: the kernel's
// copies of it.
func (t *Table) copies(i int) (all []int) {
	p := t.up[i]
	t.spread(t.mounts[p].Peer, func(r int, _ *Hop) {
		if c, ok := t.mountedOn(r, t.key[i]); ok && c != i {
			all = append(all, c)
		}
	})
	return all
}

// GroupMaster is the group that a group receives from, 0 if none. It is not listed if no member is.
func (t *Table) GroupMaster(group uint64) (master uint64, listed bool) {
	g := t.groups[group]
	if g == nil || len(g.members) == 0 {
		return 0, false
	}
	return t.mounts[g.members[0]].Master, true
}

// master is the group that a group receives from, 0 if none.
func (t *Table) master(group uint64) uint64 {
	m, _ := t.GroupMaster(group)
	return m
}
