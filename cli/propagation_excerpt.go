package cli

import (
	"strings"

	"sexton.dev/linux/mounts/excerpt"
	"sexton.dev/propagation"
	"sexton.dev/propagation/verdict"
)

// placeExcerpts puts the mounts of all excerpts into one table and finds the
// target in each: on its very place, or at the end of a longer path, as a
// container has a host's; and any other mount of the same file system part.
//
// The kernel numbers mounts over all namespaces, but excerpts may be of different
// hours: each side's numbers are kept apart. Peer groups are the same for all.
func placeExcerpts(target string, sides []verdict.Side, all []excerpt.Table) *propagation.Table {
	const apart = 32 // bits of a mount id
	var mounts []propagation.Mount
	var spaces []propagation.Namespace
	type part struct {
		device uint64
		root   string
	}
	target = "/" + strings.Trim(target, "/")
	shown := map[part]bool{}
	for i := range sides {
		base := uint64(i+1) << apart
		sides[i].Namespace, sides[i].Whole, sides[i].Untagged = base, all[i].Whole, true
		spaces = append(spaces, propagation.Namespace{ID: base})
		for n, m := range all[i].Mounts {
			p := propagation.Mount{ID: base + uint64(m.ID), Parent: base + uint64(m.Parent), Namespace: base, Peer: uint64(m.Shared), Master: uint64(m.Master),
				Device: uint64(m.Major)<<apart | uint64(m.Minor), Root: m.Root, Point: m.MountPoint, Unbindable: m.Unbindable}
			if !m.Numbered { // no ids: a place of its own behind all that the kernel gives
				p.ID, p.Parent = base+1<<31+uint64(n), 0
			}
			mounts = append(mounts, p)
			sides[i].Untagged = sides[i].Untagged && !m.Numbered
			if at(m.MountPoint, target) && m.Numbered {
				shown[part{p.Device, p.Root}] = true
			}
		}
	}
	upper := map[uint64]uint64{} // by the mount that it covers
	for _, m := range mounts {
		side := &sides[m.Namespace>>apart-1]
		if at(m.Point, target) || shown[part{m.Device, m.Root}] && !side.Untagged {
			side.Targets = append(side.Targets, m.ID)
			upper[m.Parent] = m.ID
		}
	}
	table, _ := propagation.New(mounts, spaces)
	for i := range sides {
		putTopLast(sides[i].Targets, upper)
	}
	return table
}

func at(point, target string) bool {
	return point == target || target != "/" && strings.HasSuffix(point, target)
}

// putTopLast moves the mount that a path leads to behind those that it covers.
func putTopLast(targets []uint64, upper map[uint64]uint64) {
	for i, id := range targets {
		if upper[id] == 0 {
			last := len(targets) - 1
			targets[i], targets[last] = targets[last], targets[i]
			return
		}
	}
}
