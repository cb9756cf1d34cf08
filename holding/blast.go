package holding

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"sexton.dev/check"
	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// A Toll is what one unmount takes away, in all mount namespaces.
type Toll struct {
	Goes    []Loss  // the wanted one first
	Stays   []Place // copies, and what looks like one, that stay
	Refused string  // why the kernel will refuse it, and nothing goes; "" if it will not
}

// A Loss is a mount that goes.
type Loss struct {
	Place
	Why  propagation.Reason // how the unmount comes to it
	Live string             // why somebody will miss it; "" if nobody will
}

// Live are the mounts of a toll that somebody will miss.
func (t Toll) Live() (out []Loss) {
	for _, l := range t.Goes {
		if l.Live != "" {
			out = append(out, l)
		}
	}
	return out
}

// Blast tells what an unmount of a mount in its own namespace takes away, with
// detach as umount2(MNT_DETACH), and who will miss what of it:
//
//   - who has a file or directory of it open, has it mapped, swaps to it;
//   - its owner, which has it mounted still, or who that is cannot be told;
//   - a container that works in it;
//   - for what is not on the wanted superblock, a daemon that mounts for containers,
//     or whoever else lives where it is mounted. Those who live where the wanted
//     superblock is are its holders, whom a finding names.
//
// It counts what goes by either kernel's rule, and as if nothing were locked: with
// no lock the most goes. References are seen if the look had [snapshot.References].
// A mount that is in no table is an error.
func Blast(h *snapshot.Host, id uint64, detach bool) (Toll, error) {
	wanted := h.Mount(id)
	if wanted == nil {
		return Toll{}, fmt.Errorf("mount %d is in no mount namespace that was read", id)
	}
	m := MapOf(h)
	in := m.In(wanted)
	if at, ok := unlocked(h).Resolve(in.Inode, wanted.Point); ok && at.Mount != wanted.ID && h.Mount(at.Mount) != nil && !standsOn(h, at.Mount, wanted.ID) {
		return Toll{Refused: fmt.Sprintf("its path leads to mount %d on %s, which covers it", at.Mount, h.Mount(at.Mount).Point)}, nil
	}
	v := unlocked(h).Unmount(propagation.Call{Mount: wanted.ID, Namespace: in.Inode, Lazy: detach, Held: Held(h)})
	if v.New.Errno != 0 {
		return Toll{Refused: refusal(h, v.New.Refused)}, nil
	}
	t := m.toll(slices.Concat(v.New.Fates, v.Old.Fates), wanted.Device)
	slices.SortStableFunc(t.Goes, func(a, b Loss) int { return first(a, wanted) - first(b, wanted) })
	return t, nil
}

// BlastOfRemoval tells the same of a directory that is removed in a namespace, or
// exchanged for another and removed: all that is mounted on it anywhere goes, used or
// not. device is the superblock that it is to free. A path that leads to no directory
// of the table is an error.
func BlastOfRemoval(h *snapshot.Host, namespace uint64, point, device string) (Toll, error) {
	if h.Mounts == nil {
		return Toll{}, errors.New("no mounts were read")
	}
	table := unlocked(h)
	above, ok := table.Resolve(namespace, path.Dir(point))
	if !ok || path.Clean(point) == "/" {
		return Toll{}, fmt.Errorf("%q leads to nothing that was read in mnt:[%d]", point, namespace)
	}
	e := table.Detach(namespace, above.Join(path.Base(point)))
	if e.Errno != 0 {
		return Toll{Refused: refusal(h, e.Refused)}, nil
	}
	return MapOf(h).toll(e.Fates, device), nil
}

// toll is what goes by any of these fates, and what stays by all.
func (m *Map) toll(fates []propagation.Fate, device string) (t Toll) {
	goes, seen := map[uint64]bool{}, map[uint64]bool{}
	for _, f := range fates {
		goes[f.Mount] = goes[f.Mount] || f.Goes
	}
	for _, f := range fates {
		mount := m.h.Mount(f.Mount)
		if seen[f.Mount] || goes[f.Mount] != f.Goes || mount == nil {
			continue
		}
		seen[f.Mount] = true
		p := Place{m.In(mount), mount}
		if f.Goes {
			t.Goes = append(t.Goes, Loss{p, f.Why, m.missed(p, device)})
		} else {
			t.Stays = append(t.Stays, p)
		}
	}
	return t
}

// standsOn reports whether a mount is on another one at any depth: that one is then
// busy, which says more than that it is covered.
func standsOn(h *snapshot.Host, id, on uint64) bool {
	const deepest = 100
	for n := 0; id != on && n < deepest; n++ {
		m := h.Mount(id)
		if m == nil {
			return false
		}
		id = m.Parent
	}
	return id == on
}

func first(l Loss, wanted *snapshot.Mount) int {
	if l.Mount == wanted {
		return 0
	}
	return 1
}

// openTable is the table as if nothing were locked.
type openTable struct{ *propagation.Table }

func unlocked(h *snapshot.Host) openTable {
	return snapshot.Derived(h, func(h *snapshot.Host) openTable {
		table, _ := Table(h.Mounts)
		open := map[uint64]bool{}
		for id := range Unsure(h.Mounts) {
			open[id] = false
		}
		return openTable{table.Relock(open)}
	})
}

// Held are the mounts that a process refers to, made once. They are seen if the
// look had [snapshot.References].
func Held(h *snapshot.Host) map[uint64]bool {
	return snapshot.Derived(h, func(h *snapshot.Host) held {
		out := held{}
		for i := range h.Mounts.References {
			if m := h.Mount(h.Mounts.References[i].Mount); m != nil {
				out[m.ID] = true
			}
		}
		return out
	})
}

type held map[uint64]bool

func refusal(h *snapshot.Host, f propagation.Fate) string {
	about, by := h.Mount(f.Mount), h.Mount(f.By)
	switch {
	case f.Why == propagation.Root:
		return "it is the root of its mount namespace"
	case f.Why == propagation.Mountpoint && about != nil:
		return fmt.Sprintf("it is a mount point in that mount namespace, of mount %d on %s", about.ID, about.Point)
	case f.Why == propagation.Submount && by != nil:
		return by.Point + " is mounted on it"
	case f.Why == propagation.Held && about != nil && f.Of != 0:
		return fmt.Sprintf("its copy on %s, which goes along, is in use", about.Point)
	case f.Why == propagation.Held:
		return "it is in use"
	}
	return string(f.Why)
}

// missed says why somebody will miss a mount that goes, "" if nobody will. device is
// the superblock that is to be freed.
func (m *Map) missed(p Place, device string) string {
	pin := Pinned(m.h, p.Namespace)
	for _, holder := range Of(m.h, Target{Word: p.Mount.Point, Mounts: []Place{p}}) {
		if holder.Kind == pin.Kind && holder.PID == pin.PID && holder.TID == pin.TID && holder.FD == pin.FD {
			continue // it keeps the namespace, an open file of it perhaps, and uses nothing there
		}
		if rank(holder.Kind) >= rank("fd") && holder.Kind != "submount" {
			return fmt.Sprintf("%s uses it (%s)", whoUses(m.h, holder), holder.Kind)
		}
	}
	owner, known := m.Owner(p.Mount)
	lives := m.lives[m.number[p.Namespace]]
	ours := p.Mount.Device == device
	switch {
	case !ours && lives.daemon:
		return m.label(p.Namespace) + " mounts for containers where it is mounted"
	case !ours && lives.peopled:
		return m.label(p.Namespace) + " has it mounted"
	case known && owner != nil:
		return "its owner has it mounted still: " + m.label(owner)
	case !m.InUseByNone(p.Mount.Device):
		return "a container works in it"
	case ours && !known:
		return "whose it is cannot be told"
	}
	return ""
}

// label names who keeps a namespace.
func (m *Map) label(ns *snapshot.MountNamespace) string { return Who(m.h, Name(m.h, Pinned(m.h, ns))) }

// whoUses names a holder, or what it is where there is no process.
func whoUses(h *snapshot.Host, holder check.Holder) string {
	if holder.PID == 0 {
		return holder.Path
	}
	return Who(h, holder)
}
