package unreapedchildren

import (
	"fmt"
	"time"

	"sexton.dev/check"
)

// growth is how fast the dead gather.
type growth struct {
	perMinute float64
	over      time.Duration // that the count is taken over
}

func (g growth) String() string {
	if g.perMinute < 10 {
		return fmt.Sprintf("+%.1f/min over the last %s", g.perMinute, check.Age(g.over))
	}
	return fmt.Sprintf("+%.0f/min over the last %s", g.perMinute, check.Age(g.over))
}

// growth counts the dead that started in the last ten minutes, or in the last
// hour if none did. It is a lower bound where children live long. What started
// within one second counts as one event, which says nothing of a rate.
func (f *family) growth() growth {
	for _, window := range []time.Duration{10 * time.Minute, time.Hour} {
		n, oldest := 0, time.Duration(0)
		for _, z := range f.dead {
			if age := f.host.Taken.Sub(f.host.Started(z)); age <= window {
				n++
				oldest = max(oldest, age)
			}
		}
		first, last := f.host.Started(f.dead[0]), f.host.Started(f.dead[len(f.dead)-1])
		if n < 2 || last.Sub(first) < 2*time.Second {
			continue
		}
		if n < len(f.dead) {
			oldest = window // older ones show that it has gone on for all of it
		}
		return growth{perMinute: float64(n) / oldest.Minutes(), over: oldest}
	}
	return growth{}
}

// left is what the dead cost and until when.
type left struct {
	severity check.Severity
	text     string
	evidence []check.Evidence
}

// budget names the limit that will be reached first: pids.max of a cgroup
// around the parent, or the host's own.
func (f *family) budget(g growth, limits check.Limits) left {
	out := left{severity: check.Warning, text: fmt.Sprintf("Each holds a pid: %s", check.Count(len(f.dead), "pid"))}
	used, most, what := f.host.Limits.Tasks, f.host.Limits.Max(), "the host's limit"
	for _, b := range f.host.Bounds(f.parent.Cgroup) {
		if most == 0 || b.PIDsMax-b.PIDs < most-used {
			used, most, what = b.PIDs, b.PIDsMax, "pids.max of cgroup "+b.Path
		}
	}
	if most == 0 {
		return out
	}
	out.evidence = []check.Evidence{{Source: what, Text: fmt.Sprintf("%s of %s used", check.Number(used), check.Number(most))}}
	out.text += fmt.Sprintf("; %s of the %s that %s allows are used", check.Number(used), check.Number(most), what)
	switch {
	case float64(used) >= limits.BudgetCritical*float64(most):
		out.severity = check.Critical
		out.text += ": hardly anything can be started any more"
	case g.perMinute > 0:
		until := time.Duration(float64(most-used) / g.perMinute * float64(time.Minute))
		out.text += fmt.Sprintf("; at %s it is reached in %s and nothing can be started then", g, check.Age(until))
		if until < limits.Soon {
			out.severity = check.Critical
		}
	}
	return out
}
