package plan

import (
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
		}
	}
	return out
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
		case now.Target.PID == was.Target.PID && now.Target.Start == was.Target.Start && now.Target.Switches != was.Target.Switches:
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
