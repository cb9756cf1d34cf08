package holding

import (
	"fmt"
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
	Instead string  // what to do then; "" where that is not known
	ByCopy  bool    // it refuses for a copy that would go along and is in use
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
//   - a container that works in it, or whoever has it as the root directory;
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
		return Toll{Refused: fmt.Sprintf("its path leads to mount %d on %s, which covers it", at.Mount, h.Mount(at.Mount).Point), Instead: unmountThat}, nil
	}
	return m.toll(unlocked(h).Unmount(propagation.Call{Mount: wanted.ID, Namespace: in.Inode, Lazy: detach, Held: Held(h)}), wanted), nil
}

// toll is what a verdict means to those who live there.
func (m *Map) toll(v propagation.Verdict, wanted *snapshot.Mount) (t Toll) {
	h := m.h
	if v.New.Errno != 0 {
		return Toll{Refused: refusal(h, v.New.Refused), Instead: instead[v.New.Refused.Why], ByCopy: v.New.Refused.Of != 0}
	}
	goes, seen := map[uint64]bool{}, map[uint64]bool{}
	for _, lost := range append(v.New.Gone(), v.Old.Gone()...) {
		goes[lost] = true
	}
	for _, f := range slices.Concat(v.New.Fates, v.Old.Fates) {
		mount := h.Mount(f.Mount)
		if seen[f.Mount] || goes[f.Mount] != f.Goes || mount == nil {
			continue
		}
		seen[f.Mount] = true
		p := Place{m.In(mount), mount}
		if f.Goes {
			t.Goes = append(t.Goes, Loss{p, f.Why, m.missed(p, wanted)})
		} else {
			t.Stays = append(t.Stays, p)
		}
	}
	slices.SortStableFunc(t.Goes, func(a, b Loss) int { return first(a, wanted) - first(b, wanted) })
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

const unmountThat = "unmount that first, if nobody needs it"

// instead is what to do where the kernel refuses an unmount.
var instead = map[propagation.Reason]string{
	propagation.Root:     "end the processes that live in it",
	propagation.Submount: unmountThat,
	propagation.Held:     "who uses it must let go of it first",
}

func refusal(h *snapshot.Host, f propagation.Fate) string {
	about, by := h.Mount(f.Mount), h.Mount(f.By)
	switch {
	case f.Why == propagation.Root:
		return "it is the root of its mount namespace"
	case f.Why == propagation.Submount && by != nil:
		return by.Point + " is mounted on it"
	case f.Why == propagation.Held && about != nil:
		text := "it is in use"
		if f.Of != 0 {
			text = fmt.Sprintf("its copy on %s, which goes along, is in use", about.Point)
		}
		m := MapOf(h)
		if user := m.user(Place{m.In(about), about}); user != "" {
			text += ": " + user
		}
		return text
	}
	return string(f.Why)
}

// missed says why somebody will miss a mount that goes, "" if nobody will.
func (m *Map) missed(p Place, wanted *snapshot.Mount) string {
	if p.Mount.Point == "/" { // what came onto it by propagation, too
		return "it is the root directory of " + m.label(p.Namespace)
	}
	if user := m.user(p); user != "" {
		return user
	}
	owner, known := m.Owner(p.Mount)
	lives := m.lives[m.number[p.Namespace]]
	ours := p.Mount.Device == wanted.Device
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

// user says who uses a mount itself and how, "" if nobody does.
func (m *Map) user(p Place) string {
	users := newKeeper(m.h, Target{Word: p.Mount.Point, Mounts: []Place{p}}).users() // an open file that keeps its namespace is none
	if len(users) == 0 {
		return ""
	}
	return fmt.Sprintf("%s uses it (%s)", whoUses(m.h, users[0]), users[0].Kind)
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
