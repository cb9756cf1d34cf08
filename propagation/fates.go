package propagation

// effect is what goes and stays, given the copies that stay.
func (b *blast) effect(stays map[int]obstacle) Effect {
	t := b.t
	var e Effect
	gone := append([]int(nil), b.own...)
	for n, i := range b.own {
		f := Fate{Mount: t.mounts[i].ID, Namespace: t.mounts[i].Namespace, Goes: true, Why: Victim}
		if n > 0 {
			f.Why, f.By = Below, t.mounts[t.up[i]].ID
		}
		e.Fates = append(e.Fates, f)
	}
	for _, c := range b.reached {
		f := Fate{Mount: t.mounts[c].ID, Namespace: t.mounts[c].Namespace, Of: t.mounts[b.of[c]].ID}
		if o, left := stays[c]; left {
			f.Why, f.By = o.why, t.mounts[o.by].ID
		} else {
			f.Goes, f.Why, f.By = true, Received, t.mounts[t.up[c]].ID
			gone = append(gone, c)
		}
		e.Fates = append(e.Fates, f)
	}
	e.Fates = append(e.Fates, b.lookalikes()...)
	d := t.draft()
	d.unlock(b.copies)
	isGone := set(gone)
	e.Died = d.remove(gone, isGone)
	e.Changed = d.changed(isGone)
	return e
}

// A face is what people know a mount by.
type face struct {
	device uint64
	root   string
}

// An entry is a place in a superblock.
type entry struct {
	device uint64
	path   string
}

// lookalikes are the mounts that show the same as one that goes but are not reached, and why not.
func (b *blast) lookalikes() (out []Fate) {
	t := b.t
	faces, entries := map[face]int{}, map[entry]int{}
	var devices []uint64
	seen := map[uint64]bool{}
	for _, i := range b.own {
		m := t.mounts[i]
		if _, known := faces[face{m.Device, m.Root}]; !known {
			faces[face{m.Device, m.Root}] = i
		}
		entries[entry{t.mounts[t.up[i]].Device, t.key[i]}] = i
		if !seen[m.Device] {
			seen[m.Device] = true
			devices = append(devices, m.Device)
		}
	}
	for _, device := range devices {
		for _, c := range t.devices[device] {
			m := t.mounts[c]
			of, alike := faces[face{m.Device, m.Root}]
			if !alike || b.isOwn[c] || b.isCopy(c) {
				continue
			}
			if p := t.up[c]; p != none {
				if i, same := entries[entry{t.mounts[p].Device, t.key[c]}]; same && t.mounts[i].Device == m.Device && t.mounts[i].Root == m.Root {
					of = i
				}
			}
			f := Fate{Mount: m.ID, Namespace: m.Namespace, Of: t.mounts[of].ID}
			f.Why, f.By = t.missed(of, c)
			out = append(out, f)
		}
	}
	return out
}

// missed says why an unmount does not reach a mount that looks like its victim.
func (t *Table) missed(victim, c int) (Reason, uint64) {
	from, p := t.mounts[t.up[victim]], t.up[c]
	switch {
	case p == none:
		return Root, 0
	case t.mounts[p].Device != from.Device || t.key[c] != t.key[victim]:
		return Elsewhere, t.mounts[p].ID
	case from.Peer == 0:
		return Private, from.ID
	default:
		return NotReceiver, t.mounts[p].ID
	}
}
