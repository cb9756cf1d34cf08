package propagation

// Detach says what becomes of the mounts on an entry that a process in a namespace removes: by
// rmdir, by unlink, or by a rename over it. The same errno holds for a rename of the entry itself,
// which takes no mount away.
//
// It is EBUSY if the entry is a mount point in that namespace, under whatever path. Else every
// mount on it goes, with all below: busy, locked and private ones, in every namespace, and whoever
// the caller is. at is the entry in its directory, not what is mounted there: see [Place.Join].
//
// Source: Linux 6.18 fs/namei.c, vfs_rmdir; fs/namespace.c, __detach_mounts and __is_local_mountpoint.
func (t *Table) Detach(namespace uint64, at Place) Effect {
	dir, listed := t.byID[at.Mount]
	if !listed {
		return refuse(einval, Mount{ID: at.Mount}, Unknown, 0)
	}
	var e Effect
	var gone []int
	isGone := map[int]bool{}
	for _, p := range t.devices[t.mounts[dir].Device] {
		v, ok := t.mountedOn(p, at.Path)
		if !ok {
			continue
		}
		if t.mounts[v].Namespace == namespace {
			return refuse(ebusy, t.mounts[v], Mountpoint, 0)
		}
		for _, i := range t.subtree(v) {
			if isGone[i] {
				continue
			}
			isGone[i] = true
			gone = append(gone, i)
			f := Fate{Mount: t.mounts[i].ID, Namespace: t.mounts[i].Namespace, Goes: true, Why: Victim}
			if i != v {
				f.Why, f.By = Below, t.mounts[t.up[i]].ID
			}
			e.Fates = append(e.Fates, f)
		}
	}
	d := t.draft()
	e.Died = d.remove(gone, isGone)
	e.Changed = d.changed(isGone)
	return e
}
