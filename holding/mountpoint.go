package holding

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// Barred reports whether an unmount in a namespace may be out of reach: its mounts
// may be locked, or nothing that has a name leads there.
func Barred(ns *snapshot.MountNamespace) bool { return foreign(ns) || len(ns.Pins) == 0 }

// A Spot is a directory in its owner's namespace, on which a copy is mounted elsewhere.
type Spot struct {
	Place        // the mount that the directory is on
	Path  string // below the root of the namespace
	Key   string // in the file system
}

// BlastRemoval tells what goes if the directory on which a copy is mounted is
// replaced in its owner's namespace: every mount on it, in all mount namespaces,
// used or not, with all below. Who will miss what of it is told as by [Blast].
//
// It is refused where users were not all looked for: the kernel takes what is used.
//
// Source: [propagation.Table.Detach].
func BlastRemoval(h *snapshot.Host, id uint64) (at Spot, t Toll, err error) {
	copied, m := h.Mount(id), MapOf(h)
	on, ok := unlocked(h).On(id)
	if copied == nil || !ok || h.Mount(on.Mount) == nil {
		return at, t, fmt.Errorf("what mount %d is mounted on was not read", id)
	}
	if why := blind(h); why != "" {
		return at, Toll{Refused: "who uses it was not all looked for: " + why, Instead: "run sexton as root of the host, in its PID namespace"}, nil
	}
	at, ok = m.spotOf(h.Mount(on.Mount).Device, on.Path)
	if !ok {
		return at, Toll{Refused: "no owner of its file system has that directory with nothing mounted on it or over it", Instead: "end the processes that live in the namespace of the copy"}, nil
	}
	return at, m.removal(unlocked(h).Detach(at.Namespace.Inode, propagation.Place{Mount: at.Mount.ID, Path: on.Path}), copied), nil
}

// spotOf finds a directory in an owner's namespace, at a path that leads to it. The
// root of a mount is none: it cannot be removed there.
func (m *Map) spotOf(device, dir string) (Spot, bool) {
	for _, owner := range m.Owners(device) {
		for _, s := range m.within(owner, device) {
			p := s.in(m.h)
			if dir == p.Mount.Root || !within(dir, p.Mount.Root) {
				continue
			}
			at := Spot{p, path.Join(p.Mount.Point, strings.TrimPrefix(dir, strings.TrimSuffix(p.Mount.Root, "/"))), dir}
			if there, ok := unlocked(m.h).Resolve(owner.Inode, at.Path); ok && there == (propagation.Place{Mount: p.Mount.ID, Path: dir}) {
				return at, true
			}
		}
	}
	return Spot{}, false
}

func (m *Map) removal(e propagation.Effect, copied *snapshot.Mount) (t Toll) {
	if e.Errno != 0 {
		return Toll{Refused: "its directory is a mount point in its owner's namespace, by another path", Instead: "unmount it there"}
	}
	for _, f := range e.Fates {
		if mount := m.h.Mount(f.Mount); mount != nil {
			p := Place{m.In(mount), mount}
			t.Goes = append(t.Goes, Loss{p, f.Why, m.missed(p, copied)})
		}
	}
	return t
}

// blind says what users of mounts a look may not have seen.
func blind(h *snapshot.Host) string {
	if i := slices.IndexFunc(h.Unread, func(u snapshot.Unread) bool {
		return u.Part == snapshot.References || u.Part == snapshot.MountTables || u.Part == snapshot.Processes && u.Whole
	}); i >= 0 {
		return h.Unread[i].Path + ": " + h.Unread[i].Err
	}
	switch {
	case h.Nested:
		return "/proc is that of a PID namespace, and others may be outside"
	case !h.Mounts.Settled:
		return "mounts came and went all the time"
	}
	return h.Mounts.Blind
}
