package propagation

// Clone says what unshare(CLONE_NEWNS) in a namespace makes: a copy of every mount, private and
// unbindable ones too.
//
// If the new namespace has another owner, shared mounts become slaves of what they were copied
// from, and all but the root are locked. Else all is kept but, on Linux 6.17 and 6.18, the unbindable
// flag: 7.2 keeps it as 6.12 did, which is the verdict's Old. What systemd and container runtimes
// make of it comes after: [Table.Make] with rslave, rshared or rprivate.
//
// Source: mount_namespaces(7); Linux 6.18 fs/namespace.c, copy_mnt_ns and copy_tree; the behaviour
// of 6.1.192, 6.12.117, 6.17.13, 6.18.44 and 7.2.12.
func (t *Table) Clone(from uint64, to Namespace) Verdict {
	old := Effect{Namespace: []Namespace{to}}
	d := t.draft()
	newIDs := map[int]uint64{}
	flagged := false
	for _, root := range t.roots[from] {
		for _, i := range t.subtree(root) {
			m := t.mounts[i]
			newIDs[i] = d.invent()
			m.ID, m.Namespace, m.Parent = newIDs[i], to.ID, 0
			if i != root {
				m.Parent = newIDs[t.up[i]]
			}
			if t.owner[from] != to.Owner {
				if m.Peer != 0 {
					m.Peer, m.Master = 0, m.Peer
				}
				m.Locked = i != root
			}
			flagged = flagged || m.Unbindable
			old.Made = append(old.Made, m)
		}
	}
	if len(old.Made) == 0 {
		refused := refuse(einval, Mount{Namespace: from}, Unknown, 0)
		return Verdict{Old: refused, New: refused}
	}
	now := old
	now.Made = append([]Mount(nil), old.Made...)
	for i := range now.Made {
		now.Made[i].Unbindable = false
	}
	return Verdict{Old: old, New: now, Differ: flagged}
}
