package propagation

import (
	"maps"
	"slices"
)

// A draft is what would become of the mounts of a table: the few that change, the rest as it is.
type draft struct {
	t     *Table
	after map[int]Mount
	last  uint64 // the highest id given out
}

func (t *Table) draft() *draft {
	return &draft{t: t, after: map[int]Mount{}, last: t.last}
}

// invent gives an id or a group that no listed one has.
func (d *draft) invent() uint64 {
	d.last++
	return d.last
}

// now is a mount as it has become so far.
func (d *draft) now(i int) Mount {
	if m, changed := d.after[i]; changed {
		return m
	}
	return d.t.mounts[i]
}

// changed lists what is different, without the mounts that go.
func (d *draft) changed(gone map[int]bool) (out []Change) {
	for _, i := range slices.Sorted(maps.Keys(d.after)) {
		if before := d.t.mounts[i]; before != d.after[i] && !gone[i] {
			out = append(out, Change{before, d.after[i]})
		}
	}
	return out
}

// unlock takes the lock off mounts, for good.
func (d *draft) unlock(all []int) {
	for _, i := range all {
		if m := d.now(i); m.Locked {
			m.Locked = false
			d.after[i] = m
		}
	}
}

// move changes where a mount says that it is, and all below it.
func (d *draft) move(i int, parent uint64, point string) {
	m := d.now(i)
	old := m.Point
	m.Parent, m.Point = parent, point
	d.after[i] = m
	if point == old {
		return
	}
	for _, k := range d.t.subtree(i)[1:] {
		m := d.now(k)
		if rest, ok := below(old, m.Point); ok {
			m.Point = join(point, rest)
		}
		d.after[k] = m
	}
}

// remove takes mounts out: what sat on their roots slides down, and groups without members hand
// their slaves to their own master. It returns the groups that died.
//
// Source: Linux 6.18 fs/pnode.c, reparent and transfer_propagation; 6.1 fs/namespace.c, mnt_change_mountpoint.
func (d *draft) remove(gone []int, isGone map[int]bool) (died []uint64) {
	for _, g := range gone {
		for _, k := range d.t.kids.of(g) {
			if !isGone[k] {
				d.slide(k, isGone)
			}
		}
	}
	lost := map[uint64]int{}
	for _, g := range gone {
		peer := d.t.mounts[g].Peer
		if peer == 0 {
			continue
		}
		lost[peer]++
		if lost[peer] == len(d.t.groups[peer].members) {
			died = append(died, peer)
		}
	}
	dead := func(g uint64) bool { return lost[g] > 0 && lost[g] == len(d.t.groups[g].members) }
	for _, g := range died {
		heir := d.t.master(g)
		for n := len(died); dead(heir) && n > 0; n-- { // n: a circle of groups ends too
			heir = d.t.master(heir)
		}
		if dead(heir) {
			heir = 0
		}
		for _, i := range d.t.groups[g].slaves {
			m := d.now(i)
			m.Master = heir
			d.after[i] = m
		}
	}
	slices.Sort(died)
	return died
}

// slide lets a mount fall to the place of the lowest of those under it that go.
func (d *draft) slide(i int, isGone map[int]bool) {
	p, key := d.t.up[i], d.t.key[i]
	for p != none && isGone[p] {
		p, key = d.t.up[p], d.t.key[p]
	}
	if p == none {
		return
	}
	d.move(i, d.t.mounts[p].ID, point(d.now(p), key))
}

// point is the path of an entry of a mount.
func point(m Mount, key string) string {
	rest, _ := below(m.Root, key)
	return join(m.Point, rest)
}
