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
		p := targeted(h, t)
		if p == nil {
			continue
		}
		x, up := h.Ladder.Layer(p.ID()), h.Process(p.PPID)
		if x == nil || up == nil {
			continue
		}
		parent := check.ProcessTarget(up)
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
			Dumps:   waiting(h, p),
			Affects: []string{"the " + does + " that it was for fails; its shim, and the container, go on"},
		}
		if t.Switches == 0 {
			s.Refused = uncounted("hangs")
		}
		out = append(out, s)
	}
	return out
}

func childEnded(h *snapshot.Host, s Step) (bool, string) {
	p := targeted(h, s.Target)
	return p == nil || p.Zombie(), process(s.Target) + " still runs"
}
