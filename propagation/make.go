package propagation

import (
	"slices"
	"strings"
)

// Make says what mount --make-TYPE does to a mount. The types are the words of mount(8): shared,
// slave, private, unbindable; with an r in front they are for all below it too.
//
// The surprise: a mount that leaves its group as the last member takes the master of all slaves of
// that group away. They get its own master, or become private.
//
// Source: mount(8); Linux 6.18 fs/pnode.c, change_mnt_propagation.
func (t *Table) Make(id uint64, kind string) Effect {
	i, listed := t.byID[id]
	one := strings.TrimPrefix(kind, "r")
	if !listed || !slices.Contains([]string{"shared", "slave", "private", "unbindable"}, one) {
		return refuse(einval, Mount{ID: id}, Unknown, 0)
	}
	tree := []int{i}
	if one != kind {
		tree = t.subtree(i)
	}
	m := maker{draft: t.draft(), left: map[uint64]int{}, joined: map[uint64][]int{}}
	for _, i := range tree {
		m.make(i, one)
	}
	slices.Sort(m.died)
	return Effect{Changed: m.changed(nil), Died: m.died}
}

// A maker changes the types of mounts, one after the other.
type maker struct {
	*draft
	left   map[uint64]int   // by group: how many are no longer in it
	joined map[uint64][]int // by group: slaves that it has only now
	died   []uint64
}

func (d *maker) make(i int, kind string) {
	m := d.now(i)
	if kind == "shared" {
		if m.Peer == 0 {
			m.Peer = d.invent()
		}
		m.Unbindable = false
		d.after[i] = m
		return
	}
	if group := m.Peer; group != 0 {
		m.Peer = 0
		d.left[group]++
		if d.left[group] < len(d.t.groups[group].members) {
			m.Master = group
			d.joined[group] = append(d.joined[group], i)
		} else {
			d.died = append(d.died, group)
			d.inherit(group, m.Master)
		}
	}
	if kind != "slave" {
		m.Master = 0
		m.Unbindable = kind == "unbindable"
	}
	d.after[i] = m
}

// inherit gives the slaves of a group that has died to its master.
func (d *maker) inherit(group, master uint64) {
	for _, slaves := range [][]int{d.t.groups[group].slaves, d.joined[group]} {
		for _, s := range slaves {
			m := d.now(s)
			if m.Master != group {
				continue
			}
			m.Master = master
			d.after[s] = m
			if master != 0 {
				d.joined[master] = append(d.joined[master], s)
			}
		}
	}
	delete(d.joined, group)
}
