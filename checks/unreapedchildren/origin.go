package unreapedchildren

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// origins says which dead children the parent started and which it was given.
type origins struct {
	f       *family
	own     []*snapshot.Process
	adopted []*snapshot.Process // proved not to be started by the parent
	unclear []*snapshot.Process // their own session's leader: a child that called setsid, or an orphan that did

	evidence []check.Evidence
}

// origins applies three rules, each a proof in one direction:
//
//   - session: a child starts in its parent's session. One in a session that is
//     neither the parent's nor its own was started by somebody else.
//   - order: the kernel appends to the list of children at fork and at adoption.
//     In a parent with one thread, one that started before an earlier entry was adopted.
//   - thread: orphans go to the thread group's leader. One in the list of
//     another thread was started there.
func (f *family) origins() origins {
	o := origins{f: f}
	late, threads := f.order()
	for _, z := range f.dead {
		switch {
		case threads[z.PID]:
			o.own = append(o.own, z)
		case z.Session != f.parent.Session && z.Session != z.PID, late[z.PID]:
			o.adopted = append(o.adopted, z)
		case z.Session == f.parent.Session || !f.first():
			o.own = append(o.own, z)
		default:
			o.unclear = append(o.unclear, z)
		}
	}
	o.prove(late)
	return o
}

// order returns the children that joined the list after a younger one, and those of other threads than the leader.
func (f *family) order() (late, threads map[int]bool) {
	late, threads = map[int]bool{}, map[int]bool{}
	if f.parent.Detail == nil {
		return late, threads
	}
	for _, list := range f.parent.Detail.Children {
		newest := uint64(0)
		for _, pid := range list.Children {
			child := f.host.Process(pid)
			if child == nil {
				continue
			}
			threads[pid] = list.TID != f.parent.PID
			late[pid] = list.TID == f.parent.PID && f.parent.Threads == 1 && child.Start < newest
			newest = max(newest, child.Start)
		}
	}
	return late, threads
}

func (o *origins) prove(late map[int]bool) {
	if len(o.adopted) == 0 {
		return
	}
	z := o.adopted[len(o.adopted)-1]
	text := fmt.Sprintf("session %d is neither that of its parent (%d) nor its own: started elsewhere and adopted", z.Session, o.f.parent.Session)
	if z.Session == o.f.parent.Session || z.Session == z.PID {
		text = "started before a child that stands ahead of it in the parent's list: adopted"
	}
	o.evidence = append(o.evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", z.PID), Text: text})
}

// text says where the dead come from, in a sentence.
func (o *origins) text() string {
	var parts []string
	if n := len(o.own); n > 0 {
		parts = append(parts, check.Count(n, "child")+" that it started itself ("+comms(o.own)+")")
	}
	if n := len(o.adopted); n > 0 {
		parts = append(parts, fmt.Sprintf("%s (%s) from %s%s", check.Count(n, "adopted orphan"), comms(o.adopted), check.Count(o.sessions(), "other session"), o.likely()))
	}
	if n := len(o.unclear); n > 0 {
		parts = append(parts, fmt.Sprintf("%s with a session of their own (%s): started by it or adopted, the kernel does not tell", check.Count(n, "child"), comms(o.unclear)))
	}
	return "The dead are " + strings.Join(parts, ", ")
}

func comms(dead []*snapshot.Process) string {
	var names []string
	for _, z := range dead {
		names = append(names, z.Comm)
	}
	return check.Tally(names, 3)
}

// sessions counts the sessions that orphans came from: one for each exec, probe or cron job.
func (o *origins) sessions() int {
	seen := map[int]bool{}
	for _, z := range o.adopted {
		seen[z.Session] = true
	}
	return len(seen)
}

// likely says what brings orphans into a container: a health check, when one
// is configured and they come at an even pace, else any exec session.
func (o *origins) likely() string {
	if o.f.parent.Container == "" {
		return ""
	}
	c := o.f.host.Container(o.f.parent.Container)
	every := pace(o.f.host, o.adopted)
	switch {
	case c != nil && c.Health && every > 0:
		return fmt.Sprintf(", as its health check leaves them: one about every %s", check.Age(every))
	case c != nil && c.Health:
		return ", as docker exec or its health check leave them"
	case every > 0:
		return fmt.Sprintf(", as a periodic probe leaves them: one about every %s", check.Age(every))
	}
	return ", as docker exec, a probe or a cron job leave them"
}

// pace returns the even interval at which processes started, 0 if there are
// fewer than four or they came unevenly: more than a quarter off the median.
func pace(h *snapshot.Host, dead []*snapshot.Process) time.Duration {
	if len(dead) < 4 {
		return 0
	}
	var gaps []uint64
	last := dead[0].Start
	for _, z := range dead[1:] {
		if z.Start-last > 50 { // one session may leave several at once
			gaps = append(gaps, z.Start-last)
		}
		last = z.Start
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
