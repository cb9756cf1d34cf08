package propagation

// A twig is one mount of a tree that is to be attached; the first is its root.
type twig struct {
	m    Mount
	up   int    // the parent in the tree; none for the root
	key  string // where it sits on the parent
	from int    // the mount that it is, if it is moved; none: it is new
}

// attach puts a tree on an entry and its copies on the same entry of each receiver.
func (d *draft) attach(tree []twig, dest int, key string) Effect {
	t := d.t
	dm := t.mounts[dest]
	moved := tree[0].from
	for n := range tree {
		tree[n].m.Namespace = dm.Namespace
		if dm.Peer != 0 {
			tree[n].m.Unbindable = false
			if tree[n].m.Peer == 0 {
				tree[n].m.Peer = d.invent()
			}
		}
	}
	var e Effect
	d.plant(&e, tree, dest, key, moved)
	if dm.Peer != 0 {
		d.repeat(&e, tree, dest, key, moved)
	}
	e.Changed = d.changed(nil)
	return e
}

// repeat plants a copy at each receiver of dest.
func (d *draft) repeat(e *Effect, tree []twig, dest int, key string, moved int) {
	t := d.t
	l := lineage{draft: d, tree: tree, sender: t.mounts[dest].Peer, receives: map[uint64]bool{}, groups: map[lineKey]uint64{}}
	var receivers []int
	for _, r := range t.reach(l.sender) {
		if _, ok := below(t.mounts[r].Root, key); ok && r != dest {
			receivers = append(receivers, r)
			if peer := t.mounts[r].Peer; peer != 0 {
				l.receives[peer] = true
			}
		}
	}
	for _, r := range receivers {
		foreign := t.owned(r) != t.owned(dest)
		copied := make([]twig, len(tree))
		for n, tw := range tree {
			tw.from = none
			tw.m.ID, tw.m.Namespace = d.invent(), t.mounts[r].Namespace
			tw.m.Locked = n > 0 && (tw.m.Locked || foreign)
			tw.m.Peer, tw.m.Master = l.tags(r, n)
			copied[n] = tw
		}
		d.plant(e, copied, r, key, moved)
	}
}

// plant puts a tree on an entry of a mount, beneath what is there.
func (d *draft) plant(e *Effect, tree []twig, on int, key string, moved int) {
	for n := range tree {
		tw := &tree[n]
		parent, where := d.now(on), key
		if tw.up != none {
			parent, where = tree[tw.up].m, tw.key
		}
		tw.m.Parent, tw.m.Point = parent.ID, point(parent, where)
		if tw.from != none {
			d.after[tw.from] = tw.m
		} else {
			e.Made = append(e.Made, tw.m)
		}
	}
	if above, ok := d.t.mountedOn(on, key); ok && above != moved {
		top := 0 // of the tree: overmounts in it are covered too
		for n, tw := range tree {
			if tw.up == top && tw.key == tree[top].m.Root {
				top = n
			}
		}
		d.move(above, tree[top].m.ID, d.now(above).Point)
	}
}

// A lineage gives the copies of a tree their groups.
//
// A copy at a peer of the sender joins the group of the original. Elsewhere the copies for one
// group of receivers form a group of their own, and the copies for its slaves are slaves of that.
type lineage struct {
	*draft
	tree     []twig
	sender   uint64
	receives map[uint64]bool // groups that have a receiver with the entry
	groups   map[lineKey]uint64
}

// A lineKey is a group of receivers and a mount of the tree.
type lineKey struct {
	receivers uint64
	n         int
}

// tags are the groups of the copy of the nth mount of the tree at a receiver.
func (l lineage) tags(r, n int) (peer, master uint64) {
	m := l.t.mounts[r]
	if m.Peer == l.sender {
		return l.tree[n].m.Peer, l.tree[n].m.Master
	}
	up := m.Master
	for hops := len(l.t.groups); up != l.sender && !l.receives[up]; hops-- {
		if up == 0 || hops < 0 { // no kernel would say so
			up = l.sender
			break
		}
		up = l.t.master(up)
	}
	if m.Peer != 0 {
		peer = l.group(m.Peer, n)
	}
	return peer, l.group(up, n)
}

func (l lineage) group(receivers uint64, n int) uint64 {
	if receivers == l.sender {
		return l.tree[n].m.Peer
	}
	k := lineKey{receivers, n}
	if l.groups[k] == 0 {
		l.groups[k] = l.invent()
	}
	return l.groups[k]
}
