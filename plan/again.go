package plan

import (
	"cmp"
	"fmt"
	"slices"

	"sexton.dev/snapshot"
)

// Again holds a plan that was looked at against one that the live host gives
// now: a step that is not in both, equal in action, target and risk, must not be
// done. What is done is the live plan's step, on no more than was looked at.
func Again(old, live Plan) Plan {
	if old.BootID != live.BootID {
		return old.refuseAll("it was planned before the last boot: pids, mounts and namespaces are others now; plan again: sexton heal")
	}
	out := old
	out.Steps = slices.Clone(old.Steps)
	for i := range out.Steps {
		was := &out.Steps[i]
		now := find(live, was.ID)
		switch {
		case identity(*was) != was.ID:
			was.Status, was.Why = Refused, "the plan's file was changed: this step is not the one that its id names; plan again: sexton heal"
		case actions[was.Action].steps == nil:
			was.Status, was.Why = Refused, fmt.Sprintf("this sexton has no action named %q", was.Action)
		case now == nil:
			was.Status, was.Why = "", changed(was, live)
		default:
			old := *was
			*was = *now
			was.Target.Children = both(old.Target.Children, now.Target.Children)
			was.Finding = old.Finding
			if id := added(old.Target.Mounts, now.Target.Mounts); id != 0 {
				was.Status, was.Why = Refused, fmt.Sprintf("mount %d would go along by now, which was not planned; plan again: sexton heal", id)
			}
		}
	}
	return out
}

// added is a mount that goes and was not planned to; 0 if there is none, or if
// it could not be told what goes.
func added(planned, goes []uint64) uint64 {
	i := slices.IndexFunc(goes, func(id uint64) bool { return !slices.Contains(planned, id) })
	if i < 0 || len(planned) == 0 {
		return 0
	}
	return goes[i]
}

// OnMounts reports whether a step takes mounts away, so that [Renew] can plan it
// again from them, who uses them, and the processes, without findings.
func OnMounts(s Step) bool { return actions[s.Action].renew != nil }

// Renew is [Again] for one step on mounts, from a look at those alone.
func Renew(h *snapshot.Host, s Step) Step {
	if h.Mounts == nil {
		s.Refused = "the mounts could not be read again; see why: sexton scan"
		return s
	}
	now := Plan{BootID: h.BootID, Steps: actions[s.Action].renew(h, s)}
	for i := range now.Steps {
		n := &now.Steps[i]
		n.Finding, n.Action, n.Risk, n.Round, n.Status = s.Finding, cmp.Or(n.Action, s.Action), higher(n.Risk, s.Risk), s.Round, Planned
		n.ID = identity(*n)
	}
	out := Again(Plan{BootID: h.BootID, Steps: []Step{s}}, now).Steps[0]
	if i := slices.IndexFunc(now.Steps, func(n Step) bool { return n.Refused != "" }); out.Status == "" && i >= 0 {
		s.Refused = now.Steps[i].Refused // that says more than that it is another one
		return s
	}
	s.Target, s.Refused, s.Status, s.Why = out.Target, out.Refused, out.Status, out.Why // names were not read
	return s
}

func (p Plan) refuseAll(why string) Plan {
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		p.Steps[i].Status, p.Steps[i].Why = Refused, why
	}
	return p
}

func find(p Plan, id string) *Step {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Steps[i]
}

// changed says why the live host gives another plan: the nearest of its steps tells.
func changed(was *Step, live Plan) string {
	for i := range live.Steps {
		now := &live.Steps[i]
		switch {
		case now.Finding != was.Finding || now.Action != was.Action:
		case now.Action == "resume-process" && now.Target.PID == was.Target.PID && now.Target.Start == was.Target.Start && now.Target.Switches != was.Target.Switches:
			return fmt.Sprintf("%s has run since it was planned: somebody stops it and lets it run on; plan again: sexton heal", process(now.Target))
		case now.Risk != was.Risk:
			return fmt.Sprintf("its risk is %s now, not %s; plan again: sexton heal", now.Risk, was.Risk)
		default:
			return fmt.Sprintf("for %s it would be another target now (%s); plan again: sexton heal", was.Finding, now.Does)
		}
	}
	return fmt.Sprintf("the host gives no such step for %s any more; plan again: sexton heal", was.Finding)
}

func both(a, b []snapshot.ID) (out []snapshot.ID) {
	in := map[snapshot.ID]bool{}
	for _, id := range b {
		in[id] = true
	}
	for _, id := range a {
		if in[id] {
			out = append(out, id)
		}
	}
	return out
}
