package unreapedchildren

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// origins says which dead children the parent started and which it was given.
type origins struct {
	f       *family
	own     []*snapshot.Process // started by the parent
	adopted []*snapshot.Process // proved not to be started by the parent
	likely  []*snapshot.Process // adopted, by their place among the children
	inside  []*snapshot.Process // of the parent's session: started by it, or by a child that ended before them
	unclear []*snapshot.Process // started by the parent, or orphans

	evidence []check.Evidence
}

// subreapers are programs that are given orphans without being PID 1. The
// kernel does not show who asked for that (prctl PR_SET_CHILD_SUBREAPER).
var subreapers = []string{"containerd-shim", "conmon", "systemd", "tini", "buildkitd", "supervisord"}

// origins applies three rules, each in one direction:
//
//   - session: a child starts in its parent's session. One in a session that is
//     neither the parent's nor its own was started by somebody else, unless the
//     parent changed its own session later. That it did only if it leads one;
//     PID 1 of a container does, before its program begins.
//   - thread: orphans go to the first living thread. One in the list of another
//     thread than the living first was started there.
//   - order: the kernel appends to the list of children at fork and at adoption.
//     One that started before an entry ahead of it was adopted, unless the
//     parent had a thread that ended: that one's children are appended too, and
//     nothing shows any more that there was one. So it is likely, not proved.
//
// Everybody else's dead are its own; PID 1 and subreapers are given orphans of
// their own session as well, which nothing tells from children.
func (f *family) origins() origins {
	o := origins{f: f}
	ahead, threads := f.order()
	foreign := f.provesForeign()
	given := f.given()
	for _, z := range f.dead {
		apart := z.Session != f.parent.Session && z.Session != z.PID
		switch {
		case threads[z.PID] != 0:
			o.own = append(o.own, z)
		case apart && foreign(z):
			o.adopted = append(o.adopted, z)
		case given && ahead[z.PID] != 0:
			o.likely = append(o.likely, z)
		case given && z.Session == f.parent.Session:
			o.inside = append(o.inside, z)
		case given || apart:
			o.unclear = append(o.unclear, z)
		default:
			o.own = append(o.own, z)
		}
	}
	o.show(ahead, threads)
	return o
}

// given reports whether orphans may come to the parent.
func (f *family) given() bool {
	unread := f.parent.Detail == nil && !f.parent.Kernel // it may be PID 1
	return f.first() || unread || slices.Contains(subreapers, f.parent.Comm)
}

// provesForeign returns whether a child's other session proves that somebody
// else started it: the parent was never in that one itself.
func (f *family) provesForeign() func(*snapshot.Process) bool {
	if f.parent.Session != f.parent.PID {
		return func(*snapshot.Process) bool { return true } // only setsid changes one's session, and makes a leader
	}
	born := 0 // in its parent's session, if that is still the one that started it
	if g := f.host.Process(f.parent.PPID); g != nil {
		born = g.Session
	}
	return func(z *snapshot.Process) bool { return f.first() && z.Session != born }
}

// order returns for each child that stands behind a younger one which that is,
// and for each that another thread than the first started which thread that is.
func (f *family) order() (ahead, threads map[int]int) {
	ahead, threads = map[int]int{}, map[int]int{}
	if f.parent.Detail == nil {
		return ahead, threads
	}
	for _, list := range f.parent.Detail.Children {
		var youngest *snapshot.Process
		for _, pid := range list.Children {
			child := f.host.Process(pid)
			if child == nil {
				continue
			}
			if list.TID != f.parent.PID && !f.parent.HalfDead() {
				threads[pid] = list.TID
			}
			if youngest != nil && child.Start < youngest.Start && f.parent.Threads == 1 {
				ahead[pid] = youngest.PID
			}
			if youngest == nil || child.Start > youngest.Start {
				youngest = child
			}
		}
	}
	return ahead, threads
}

// show gives one example for each rule.
func (o *origins) show(ahead, threads map[int]int) {
	example := func(of []*snapshot.Process, text func(z *snapshot.Process) string) {
		if len(of) > 0 {
			z := of[len(of)-1]
			o.evidence = append(o.evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", z.PID), Text: text(z)})
		}
	}
	example(o.adopted, func(z *snapshot.Process) string {
		return fmt.Sprintf("session %d is neither that of its parent (%d) nor its own: started elsewhere and adopted", z.Session, o.f.parent.Session)
	})
	example(o.likely, func(z *snapshot.Process) string {
		return fmt.Sprintf("started before pid %d, which stands ahead of it in its parent's list: adopted, or left by a thread that has ended", ahead[z.PID])
	})
	threaded := slices.DeleteFunc(slices.Clone(o.own), func(z *snapshot.Process) bool { return threads[z.PID] == 0 })
	example(threaded, func(z *snapshot.Process) string {
		return fmt.Sprintf("listed in /proc/%d/task/%d/children: that thread started it", o.f.parent.PID, threads[z.PID])
	})
}

// text says where the dead come from, in a sentence.
func (o *origins) text() string {
	var parts []string
	add := func(of []*snapshot.Process, one, rest string) {
		switch noun := one[strings.Index(one, " ")+1:]; {
		case len(o.f.dead) == 1 && len(of) == 1:
			parts = append(parts, fmt.Sprintf("The dead one is %s (%s)%s", one, of[0].Comm, rest))
		case len(of) > 0:
			parts = append(parts, fmt.Sprintf("%s (%s)%s", check.Count(len(of), noun), comms(of, 3), rest))
		}
	}
	add(o.own, "a child", " that it started itself")
	add(o.adopted, "an adopted orphan", o.whence())
	add(o.likely, "a probable orphan", " that came to it after younger children")
	add(o.inside, "a child", " of its own session, started by it or by a child of it that has ended")
	add(o.unclear, "a child", ", started by it or adopted, which cannot be told")
	if len(o.f.dead) == 1 {
		return parts[0]
	}
	return "The dead are " + strings.Join(parts, "; ")
}
