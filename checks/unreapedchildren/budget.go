package unreapedchildren

import (
	"fmt"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// left is what the dead cost and until when.
type left struct {
	severity check.Severity
	text     string
	evidence []check.Evidence
}

// A limit bounds how many tasks there can be.
type limit struct {
	what, where, source string
	used, most          int
}

// farthest is the longest time that is foretold.
const farthest = 30 * 24 * time.Hour

// budget names the limit that will be reached first, and when.
func (f *family) budget(g growth, limits check.Limits) left {
	out := left{severity: check.Warning, text: "It holds a pid"}
	if n := len(f.dead); n > 1 {
		out.text = fmt.Sprintf("They hold %s pids", check.Number(n))
	}
	l := f.nearest()
	if l.most == 0 {
		return out
	}
	out.evidence = []check.Evidence{{Source: l.source, Text: fmt.Sprintf("%s of %s used", check.Number(l.used), check.Number(l.most))}}
	out.text += fmt.Sprintf(". Of the %s that %s allows, %s are used", check.Number(l.most), l.what, check.Number(l.used))
	until := farthest + 1
	if minutes := float64(l.most-l.used) / g.perMinute; g.perMinute > 0 && minutes < farthest.Minutes() {
		until = time.Duration(minutes * float64(time.Minute))
	}
	most := limits.BudgetCritical * float64(l.most)
	switch spent, without := float64(l.used) >= most, float64(l.used-len(f.dead)) >= most; {
	case spent && without && until >= limits.Soon:
		out.text += fmt.Sprintf(": hardly anything can be started %s any more, but others than these take most of them", l.where)
	case spent:
		out.severity = check.Critical
		out.text += fmt.Sprintf(": hardly anything can be started %s any more", l.where)
		if until < limits.Soon && l.used < l.most {
			out.text += fmt.Sprintf("; at %s the rest lasts %s", g, check.Age(until))
		}
	case until <= farthest:
		out.text += fmt.Sprintf("; at %s the rest lasts %s, and then nothing can be started %s", g, check.Age(until), l.where)
		if until < limits.Soon {
			out.severity = check.Critical
		}
	}
	return out
}

// nearest returns the limit with the least room for the dead: pids.max of a
// cgroup that they are in, or the host's own.
func (f *family) nearest() limit {
	h := f.host
	out := limit{what: "kernel.pid_max", where: "on the host", source: "/proc/sys/kernel/pid_max", used: h.Limits.Tasks, most: h.Limits.Max()}
	if h.Limits.Tasks == 0 {
		out.most = 0 // not read
	}
	if h.Limits.PIDMax != out.most {
		out.what, out.source = "kernel.threads-max", "/proc/sys/kernel/threads-max"
	}
	for _, g := range h.Bounds(f.cgroup()) {
		if out.most != 0 && g.PIDsMax-g.PIDs >= out.most-out.used {
			continue
		}
		out = limit{what: "pids.max of cgroup " + g.Path, where: "in it", source: "cgroup " + g.Path, used: g.PIDs, most: g.PIDsMax}
		if c := h.Container(g.Container); c != nil && c.Cgroup == g.Path {
			out.what = "pids.max of container " + check.ContainerName(h, g.Container)
		}
	}
	return out
}

// cgroup returns where most of the dead count. With version 1 a dead process
// is shown in the root, but counts where it was: its parent's cgroup is the guess then.
func (f *family) cgroup() string {
	count := map[string]int{}
	best := ""
	for _, z := range f.dead {
		if inRoot(z) {
			continue
		}
		count[z.Cgroup]++
		if n := count[z.Cgroup]; n > count[best] || n == count[best] && z.Cgroup < best {
			best = z.Cgroup
		}
	}
	if best == "" {
		return f.parent.Cgroup
	}
	return best
}

func inRoot(z *snapshot.Process) bool { return z.Cgroup == "" || z.Cgroup == "/" }
