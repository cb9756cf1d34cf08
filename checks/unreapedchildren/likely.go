package unreapedchildren

import (
	"fmt"
	"slices"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// whence says what orphans were left by.
func (o *origins) whence() string {
	seen := map[int]bool{} // sessions: one for each exec, probe or cron job
	for _, z := range o.adopted {
		seen[z.Session] = true
	}
	return " from " + check.Count(len(seen), "other session") + o.likelyFrom()
}

// likelyFrom says what brings orphans into a container: a health check, when one
// is configured and they come at an even pace, else any exec session.
func (o *origins) likelyFrom() string {
	if o.f.parent.Container == "" || !o.f.first() {
		return ""
	}
	exec, probe := "docker exec", "a health check"
	c := o.f.host.Container(o.f.parent.Container)
	switch {
	case c != nil && c.Pod != "":
		exec, probe = "kubectl exec", "an exec probe"
	case c != nil && c.Runtime != "docker" && c.Runtime != "":
		exec = "an exec session"
	}
	every := pace(o.adopted)
	switch {
	case c != nil && c.Health && every > 0:
		return fmt.Sprintf(", as its health check leaves them: one about every %s", check.Age(every))
	case c != nil && c.Health:
		return fmt.Sprintf(", as its health check or %s leaves them", exec)
	case every > 0:
		return fmt.Sprintf(", as a periodic probe or job leaves them: one about every %s", check.Age(every))
	}
	return fmt.Sprintf(", as %s, %s or a cron job leaves them", exec, probe)
}

// together is what may start in one exec or probe, in clock ticks: half a second.
const together = 50

// pace returns the even interval at which processes started, sorted by start;
// 0 if there are fewer than four, or they came unevenly: more than a quarter off the median.
func pace(dead []*snapshot.Process) time.Duration {
	var gaps []uint64
	for i := 1; i < len(dead); i++ {
		if gap := dead[i].Start - dead[i-1].Start; gap > together {
			gaps = append(gaps, gap)
		}
	}
	if len(gaps) < 3 {
		return 0
	}
	slices.Sort(gaps)
	median := gaps[len(gaps)/2]
	if low, high := gaps[len(gaps)/10], gaps[len(gaps)*9/10]; low < median*3/4 || high > median*5/4 {
		return 0
	}
	return (time.Duration(median) * (time.Second / 100)).Round(time.Second)
}
