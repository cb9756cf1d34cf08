package plan

import (
	"fmt"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// endChild plans to end a runc that a shim or daemon waits for. What pins it besides
// its start is its parent, and that none of its threads has run since.
func endChild(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		p := h.Same(snapshot.ID{PID: t.PID, Start: t.Start})
		x := h.Ladder.Layer(snapshot.ID{PID: t.PID, Start: t.Start})
		if p == nil || x == nil || h.Process(p.PPID) == nil {
			continue
		}
		parent := check.ProcessTarget(h.Process(p.PPID))
		t.Switches = x.Switches
		does := x.Operation
		if does == "" {
			does = "do one thing"
		}
		s := Step{
			Does:    fmt.Sprintf("kill %s, which %s started to %s and which does not end", process(t), process(parent), does),
			Command: fmt.Sprintf("kill -KILL %d", t.PID),
			Target:  t,
			Parent:  &parent,
			Holds:   []string{same(t), "it is the child of " + process(parent) + " still", "it executes runc or crun, in its parent's namespaces", "no thread of it has run since"},
			Then:    []string{"it has ended"},
			Affects: []string{"the " + does + " that it was for fails; its shim, and the container, go on"},
		}
		if t.Switches == 0 {
			s.Refused = "how often it has run cannot be read, so nobody can tell whether it hangs; run sexton as root"
		}
		out = append(out, s)
	}
	return out
}

func childEnded(h *snapshot.Host, s Step) (bool, string) {
	p := h.Same(snapshot.ID{PID: s.Target.PID, Start: s.Target.Start})
	return p == nil || p.Zombie(), process(s.Target) + " still runs"
}
