package leakedmount

import (
	"fmt"
	"slices"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// later finds what will be left behind: mounts that an owner has and that its
// unmount will not take out of another namespace. One finding a namespace.
func (l *leaks) later() []check.Finding {
	var out []check.Finding
	for i := range l.h.Mounts.Namespaces {
		ns := &l.h.Mounts.Namespaces[i]
		var stay []*snapshot.Mount
		var cut holding.Break
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			owner := l.ownerOf(ns, m)
			if owner == nil {
				continue
			}
			if b, ok := l.m.FindBreak(m, owner); ok {
				stay, cut = append(stay, m), b
			}
		}
		if len(stay) > 0 {
			out = append(out, l.willStay(ns, stay, cut))
		}
	}
	return out
}

// ownerOf is the owner of a mount of container software that has it still, if
// ns is another namespace.
func (l *leaks) ownerOf(ns *snapshot.MountNamespace, m *snapshot.Mount) *snapshot.MountNamespace {
	if l.m.Shape(m).What == "" {
		return nil
	}
	if slices.Contains(l.m.Owners(l.m.Base(m)), ns) {
		return nil
	}
	owner, _ := l.m.Owner(m)
	return owner
}

func (l *leaks) willStay(ns *snapshot.MountNamespace, stay []*snapshot.Mount, cut holding.Break) check.Finding {
	holder := holding.Name(l.h, holding.Pinned(l.h, ns))
	f := check.Finding{
		ID:       fmt.Sprintf("%s/in-%d", name, ns.Inode),
		Severity: check.Info,
		Subject:  check.Subject{Kind: "mount", Name: stay[0].Point, Path: stay[0].Point, Device: stay[0].Device, MountNamespace: ns.Inode},
		Title:    fmt.Sprintf("%s of containers in use will stay mounted by %s when their owner unmounts them", check.Count(len(stay), "mount"), holding.Who(l.h, holder)),
		Harm:     "No harm yet; each one becomes a leaked mount when its container is removed",
		Holders:  []check.Holder{holder},
		Advice:   []string{"keep the namespace's mounts slaves of the host's (rslave, HostToContainer), and no private mount above the place"},
	}
	f.Cause = fmt.Sprintf("In the owner's namespace %s is %s, and in this one %s: an unmount there is not told to the copies here", cut.Point, cut.Owner, cut.Here)
	if cut.Owner == "" {
		f.Cause = fmt.Sprintf("They are mounted below %s, which is %s and not in the owner's namespace: an unmount there is not told to the copies here", cut.Point, cut.Here)
	}
	for _, m := range stay[:min(3, len(stay))] {
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", ns.Inode), Text: holding.Line(m)})
	}
	return f
}
