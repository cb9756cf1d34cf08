package stacks

import "slices"

// still counts the goroutines of a dump that are blocked in the same stack as in
// the dump before it of the same process, and all that were blocked in that. Shims have alike goroutines with the same
// numbers, so theirs count only if the log says that it is the same one.
func (f *Folder) still(at int) (count, blocked int) {
	d := &f.dumps[at].Dump
	before := -1
	for i := range at {
		b := &f.dumps[i].Dump
		if b.Layer == d.Layer && b.Container == d.Container && b.PID == d.PID && (d.Layer != "shim" || d.Container != "") {
			before = i
		}
	}
	if before < 0 || d.Layer == "" {
		return 0, 0
	}
	type where struct {
		in *group
		m  member
	}
	was := map[uint64]where{}
	for _, n := range f.order {
		if n.Dump == before && n.blocked() != Idle {
			blocked += n.Goroutines
			for _, m := range n.members {
				was[m.id] = where{n, m}
			}
		}
	}
	for _, n := range f.order {
		if n.Dump != at || n.blocked() == Idle {
			continue
		}
		for _, m := range n.members {
			if w, ok := was[m.id]; ok && m.id != 0 && w.m.minutes <= m.minutes && w.m.lock == m.lock && w.in.State == n.State && slices.Equal(w.in.Functions, n.Functions) {
				count++
			}
		}
	}
	return count, blocked
}
