package propagation

import "strings"

// Mount is the mount with this id, as it is in the table.
func (t *Table) Mount(id uint64) (m Mount, listed bool) {
	i, listed := t.byID[id]
	if !listed {
		return Mount{}, false
	}
	return t.mounts[i], true
}

// On is the entry that a mount sits on. Not ok: it is not listed, or the root of its namespace.
func (t *Table) On(id uint64) (at Place, ok bool) {
	i, listed := t.byID[id]
	if !listed || t.up[i] == none {
		return Place{}, false
	}
	return Place{t.mounts[t.up[i]].ID, t.key[i]}, true
}

// Mounted are the mounts on another one.
func (t *Table) Mounted(on uint64) (all []Mount) {
	i, listed := t.byID[on]
	if !listed {
		return nil
	}
	for _, k := range t.kids.of(i) {
		all = append(all, t.mounts[k])
	}
	return all
}

// Resolve follows a path from the root of a namespace through its mounts, as a process does whose
// root that is. It takes every name for a directory: it knows no symbolic links and no "..". Not
// ok: the namespace has no root, or more than one.
//
// Source: path_resolution(7).
func (t *Table) Resolve(namespace uint64, path string) (at Place, ok bool) {
	roots := t.roots[namespace]
	if len(roots) != 1 {
		return Place{}, false
	}
	on, key := t.top(roots[0], t.mounts[roots[0]].Root)
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			on, key = t.top(on, join(key, name))
		}
	}
	return Place{t.mounts[on].ID, key}, true
}

// top enters what is mounted on an entry, and what is mounted on the root of that.
func (t *Table) top(on int, key string) (int, string) {
	for {
		i, covered := t.mountedOn(on, key)
		if !covered {
			return on, key
		}
		on, key = i, t.mounts[i].Root
	}
}

// over reports whether a mount covers its parent completely.
func (t *Table) over(i int) bool {
	return t.up[i] != none && t.key[i] == t.mounts[t.up[i]].Root
}

// subtree is a mount and all below it, parents first.
func (t *Table) subtree(root int) []int {
	out := []int{root}
	for n := 0; n < len(out); n++ {
		out = append(out, t.kids.of(out[n])...)
	}
	return out
}

// owned is the user namespace that owns the namespace of a mount.
func (t *Table) owned(i int) uint64 { return t.owner[t.mounts[i].Namespace] }
