package propagation

// Attach says where a new mount turns up. Of m only Device and Root count.
//
// Each receiver that has the entry gets a copy. Where something is mounted on that entry already,
// the copy goes beneath it, so what was there stays in view: and so does the new mount itself if
// at is an entry that is covered, as with MOVE_MOUNT_BENEATH.
//
// Source: Linux 6.18 fs/namespace.c, attach_recursive_mnt; fs/pnode.c, propagate_mnt.
func (t *Table) Attach(m Mount, at Place) Effect {
	dest, refused := t.dest(at)
	if refused.Errno != 0 {
		return refused
	}
	d := t.draft()
	m = Mount{ID: d.invent(), Device: m.Device, Root: m.Root}
	return d.attach([]twig{{m: m, up: none, from: none}}, dest, at.Path)
}

// Bind says what mount --bind does, or --rbind with recursive: as [Table.Attach], with a copy of
// a mount (or of all below an entry) that is in the same groups as the original.
//
// Unbindable mounts cannot be bound and are left out below; a locked submount may not be uncovered
// by a bind that leaves it out.
//
// Source: Linux 6.18 fs/namespace.c, __do_loopback and copy_tree.
func (t *Table) Bind(from Place, recursive bool, at Place) Effect {
	dest, refused := t.dest(at)
	if refused.Errno != 0 {
		return refused
	}
	src, refused := t.dest(from)
	if refused.Errno != 0 {
		return refused
	}
	m := t.mounts[src]
	if m.Namespace != t.mounts[dest].Namespace {
		return refuse(einval, m, Elsewhere, 0)
	}
	if m.Unbindable {
		return refuse(einval, m, Unbindable, 0)
	}
	d := t.draft()
	m.ID, m.Root, m.Locked = d.invent(), from.Path, false
	tree := []twig{{m: m, up: none, from: none}}
	for _, k := range t.kids.of(src) {
		if _, ok := below(from.Path, t.key[k]); !ok {
			continue
		}
		if !recursive && t.mounts[k].Locked {
			return refuse(einval, t.mounts[k], Locked, t.mounts[src].ID)
		}
		if recursive {
			var at int
			if tree, at = d.copyTree(tree, k); at != none {
				return refuse(eperm, t.mounts[at], Unbindable, 0)
			}
		}
	}
	return d.attach(tree, dest, at.Path)
}

// copyTree adds copies of a mount below the first of a tree and of what is below it to the tree.
// It stops at a mount that is unbindable and locked.
func (d *draft) copyTree(tree []twig, root int) (grown []twig, refused int) {
	where := map[int]int{d.t.up[root]: 0}
	for _, i := range d.t.subtree(root) {
		m := d.t.mounts[i]
		up, parent := where[d.t.up[i]]
		switch {
		case !parent: // below an unbindable one
			continue
		case m.Unbindable && m.Locked:
			return tree, i
		case m.Unbindable:
			continue
		}
		m.ID = d.invent()
		where[i] = len(tree)
		tree = append(tree, twig{m: m, up: up, key: d.t.key[i], from: none})
	}
	return tree, none
}

// Move says what mount --move does: as [Table.Attach], with the mount itself and all below it.
// What kinds of file the two are is the caller's matter.
//
// Source: Linux 6.18 fs/namespace.c, do_move_mount.
func (t *Table) Move(id uint64, at Place) Effect {
	dest, refused := t.dest(at)
	if refused.Errno != 0 {
		return refused
	}
	src, listed := t.byID[id]
	if !listed {
		return refuse(einval, Mount{ID: id}, Unknown, 0)
	}
	m := t.mounts[src]
	switch p := t.up[src]; {
	case m.Namespace != t.mounts[dest].Namespace:
		return refuse(einval, m, Elsewhere, 0)
	case p == none:
		return refuse(einval, m, Root, 0)
	case m.Locked:
		return refuse(einval, m, Locked, t.mounts[p].ID)
	case t.mounts[p].Peer != 0:
		return refuse(einval, m, Shared, t.mounts[p].ID)
	}
	inside := none
	var tree []twig
	where := map[int]int{}
	for n, i := range t.subtree(src) {
		where[i] = n
		tw := twig{m: t.mounts[i], up: none, from: i}
		if n > 0 {
			tw.up, tw.key = where[t.up[i]], t.key[i]
		}
		tree = append(tree, tw)
		if t.mounts[dest].Peer != 0 && tw.m.Unbindable {
			return refuse(einval, tw.m, Unbindable, 0)
		}
		if i == dest {
			inside = i
		}
	}
	if inside != none {
		return refuse(eloop, m, Inside, t.mounts[inside].ID)
	}
	return t.draft().attach(tree, dest, at.Path)
}

// dest finds the mount that a place is in.
func (t *Table) dest(at Place) (int, Effect) {
	i, listed := t.byID[at.Mount]
	if !listed {
		return none, refuse(einval, Mount{ID: at.Mount}, Unknown, 0)
	}
	if _, ok := below(t.mounts[i].Root, at.Path); !ok {
		return none, refuse(einval, t.mounts[i], Unknown, 0)
	}
	return i, Effect{}
}
