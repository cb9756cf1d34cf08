package propagation

// A Call is an unmount to be judged.
type Call struct {
	Mount     uint64
	Namespace uint64          // the one it is made from
	Lazy      bool            // MNT_DETACH: with all below it, and whoever uses it
	Held      map[uint64]bool // mounts that something refers to; not asked if Lazy
}

// A Verdict is the answer of a kernel before Linux 6.17 and of one since.
//
// Vendors port changes back, so the version alone does not tell which one a kernel is.
type Verdict struct {
	Old, New Effect
	Differ   bool
}

// Unmount says what umount2 would do.
//
// A plain call is refused with EBUSY if the mount is held or has anything mounted on it; and if a
// copy is held that has nothing on it, or one overmount alone: the refusal names that copy. A copy
// with a real submount is not asked and stays, and a copy that is not reached is never a reason.
//
// The path "/" is always refused, where the kernel would not: it detaches all that the caller has
// or, without MNT_DETACH, makes the superblock read-only for everybody.
//
// Source: umount(2); Linux 6.18 fs/namespace.c, do_umount; fs/pnode.c, propagate_mount_busy and propagate_umount.
func (t *Table) Unmount(call Call) Verdict {
	v, copies, e := t.refusal(call)
	if e.Errno != 0 {
		return Verdict{Old: e, New: e}
	}
	own := []int{v}
	if call.Lazy {
		own = t.subtree(v)
	}
	b := t.blast(own, copies)
	older, newer := b.older(), b.newer()
	out := Verdict{Old: b.effect(older), New: b.effect(newer)}
	for i := range b.of {
		_, stays := older[i]
		_, stayed := newer[i]
		out.Differ = out.Differ || stays != stayed
	}
	return out
}

// Refusal is what [Table.Unmount] says of a call that is refused, on any kernel, and an effect without
// Errno of another: what that does is not worked out.
func (t *Table) Refusal(call Call) Effect {
	_, _, e := t.refusal(call)
	return e
}

// refusal also finds the mount and its copies.
func (t *Table) refusal(call Call) (v int, copies []int, e Effect) {
	v, listed := t.byID[call.Mount]
	if !listed {
		return v, nil, refuse(einval, Mount{ID: call.Mount}, Unknown, 0)
	}
	m := t.mounts[v]
	switch {
	case m.Namespace != call.Namespace:
		return v, nil, refuse(einval, m, Elsewhere, 0)
	case t.up[v] == none || m.Point == "/":
		return v, nil, refuse(einval, m, Root, 0)
	case m.Locked:
		return v, nil, refuse(einval, m, Locked, t.mounts[t.up[v]].ID)
	}
	copies = t.copies(v)
	if !call.Lazy {
		e = t.busy(v, copies, call.Held)
	}
	return v, copies, e
}

// busy refuses a plain unmount of what is in use, on the mount itself or on a copy.
func (t *Table) busy(v int, copies []int, held map[uint64]bool) Effect {
	if kids := t.kids.of(v); len(kids) > 0 {
		return refuse(ebusy, t.mounts[v], Submount, t.mounts[kids[0]].ID)
	}
	if held[t.mounts[v].ID] {
		return refuse(ebusy, t.mounts[v], Held, 0)
	}
	for _, c := range copies {
		kids := t.kids.of(c)
		asked := len(kids) == 0 || len(kids) == 1 && t.over(kids[0])
		if asked && held[t.mounts[c].ID] {
			e := refuse(ebusy, t.mounts[c], Held, 0)
			e.Refused.Of = t.mounts[v].ID
			return e
		}
	}
	return Effect{}
}
