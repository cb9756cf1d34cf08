package plan

import (
	"fmt"
	"slices"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// removeMountpoint plans to replace, in its owner's namespace, the empty directory
// on which copies are mounted that cannot be unmounted where they are.
func removeMountpoint(h *snapshot.Host, f check.Finding, _ check.Remedy) (out []Step) {
	if h.Mounts == nil {
		return nil
	}
	gone := map[uint64]bool{}
	for p := range holding.MapOf(h).Places(f.Subject.Device) {
		if gone[p.Mount.ID] || !holding.Barred(p.Namespace) {
			continue
		}
		at, toll, err := holding.BlastRemoval(h, p.Mount.ID)
		s := mountpointStep(h, p, at, toll)
		s.Refused = barrier(toll, err)
		s = perishing(h, s, toll.Goes, holding.MapOf(h).OnDevice(f.Subject.Device).Mounts)
		for _, l := range toll.Goes {
			gone[l.Mount.ID] = true
		}
		out = append(out, s)
	}
	return out
}

// renewRemoval plans the removal of a step's directory, for each of its mounts: any
// of them leads there.
func renewRemoval(h *snapshot.Host, s Step) (out []Step) {
	for _, id := range s.Target.Mounts {
		m := h.Mount(id)
		if m == nil {
			continue
		}
		at, toll, err := holding.BlastRemoval(h, id)
		now := mountpointStep(h, holding.Place{Namespace: holding.MapOf(h).In(m), Mount: m}, at, toll)
		now.Refused = barrier(toll, err)
		now = perishing(h, now, toll.Goes, nil)
		out = append(out, now)
	}
	return out
}

func mountpointStep(h *snapshot.Host, p holding.Place, at holding.Spot, toll holding.Toll) Step {
	if at.Mount == nil {
		return Step{Does: fmt.Sprintf("put a new directory in the place of the one that mount %d on %s is mounted on", p.Mount.ID, p.Mount.Point), Target: mountTarget(p)}
	}
	t := check.Target{Kind: "mountpoint", Mount: at.Mount.ID, MountNamespace: at.Namespace.Inode, MountNamespaceID: at.Namespace.ID,
		Path: at.Path, Device: at.Mount.Device, Root: at.Key}
	s := Step{
		Command: inside(h, at.Namespace, "rmdir "+quote(at.Path), "mkdir "+quote(at.Path)),
		Holds: []string{"it is an empty directory there, and nothing is mounted on it in that namespace", "no mount is on it or below, in any mount namespace, but those named here",
			"nobody uses one of those"},
	}
	for _, l := range toll.Goes {
		s.Then = append(s.Then, fmt.Sprintf("mount %d is in no mount namespace", l.Mount.ID))
		s.Affects = append(s.Affects, fmt.Sprintf("mount %d on %s in mnt:[%d] goes", l.Mount.ID, l.Mount.Point, l.Namespace.Inode))
	}
	t.Mounts = ids(toll.Goes)
	s.Target = t
	s.Does = fmt.Sprintf("put a new empty directory in the place of %s in the mount namespace of %s, which takes %s off it everywhere",
		at.Path, holding.Who(h, holding.Name(h, holding.Pinned(h, at.Namespace))), check.Count(len(t.Mounts), "mount"))
	return s
}

func detached(h *snapshot.Host, s Step) (bool, string) {
	if h.Mounts == nil {
		return false, "the mounts were not read"
	}
	left := slices.DeleteFunc(slices.Clone(s.Target.Mounts), func(id uint64) bool { return h.Mount(id) == nil })
	return len(left) == 0, check.Count(len(left), "mount") + " still there"
}
