package holding

import (
	"strconv"
	"strings"

	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// Table puts the mounts of a look into the form that propagation is asked in.
// Locks are guessed: those of [Unsure].
func Table(all *snapshot.Mounts) (*propagation.Table, []propagation.Problem) {
	return propagation.New(mountsOf(all))
}

func mountsOf(all *snapshot.Mounts) ([]propagation.Mount, []propagation.Namespace) {
	n := 0
	for i := range all.Namespaces {
		n += len(all.Namespaces[i].Mounts)
	}
	mounts := make([]propagation.Mount, 0, n)
	spaces := make([]propagation.Namespace, 0, len(all.Namespaces))
	devices := map[string]uint64{}
	for i := range all.Namespaces {
		ns := &all.Namespaces[i]
		spaces = append(spaces, propagation.Namespace{ID: ns.Inode, Owner: ns.Owner})
		born := bornLocked(ns)
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			d, ok := devices[m.Device]
			if !ok {
				d = uint64(len(devices) + 1)
				devices[m.Device] = d
			}
			mounts = append(mounts, propagation.Mount{ID: m.ID, Parent: m.Parent, Namespace: ns.Inode, Peer: m.Shared, Master: m.Master,
				Device: d, Root: m.Root, Point: m.Point, Unbindable: m.Unbindable, Locked: born[m.ID]})
		}
	}
	return mounts, spaces
}

// Older reports whether a kernel's release is before 6.17, which rewrote the unmount.
func Older(release string) bool {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = rest[:i]
	}
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err1 == nil && err2 == nil && (a < 6 || a == 6 && b < 17)
}
