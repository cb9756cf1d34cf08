package kmsg

import (
	"slices"
	"strings"
	"time"

	"sexton.dev/linux/cgroupfs"
)

// A report is one out-of-memory report while it is read.
type report struct {
	first, at Record // its first record, and its last so far

	invoker    string
	invokerPID int
	cpuset     string // name of the invoker's cgroup
	oomLine           // what is known of the victim and of the limit
	stats      []string
	inTable    bool // its table of processes has begun
	rows       map[int]bool
	text       []string
	size       int // of text
	touched    int // when it got its last message, as the assembler counts
}

// reportOf finds the report that a message belongs to, and opens one where it
// begins one. The kernel prints one report after the other since 4.2; before that
// those of two cgroups may be mixed. A message that fits two of them equally well
// belongs to none: it is a report of its own, and its container is not said.
func (a *Assembler) reportOf(r Record, l oomLine) *report {
	if l.kind == invoked {
		return a.start(r)
	}
	fit := filter(a.open, func(rep *report) bool { return rep.fits(r, l) })
	if len(fit) == 0 {
		switch l.kind {
		case cpuset, onCPU, limited, tableHead: // of something else, or the beginning is cut off
			return nil
		}
		return a.start(r)
	}
	newest := latest(fit)
	rivals := filter(fit, func(rep *report) bool { return rep != newest && rep.within(fresh, r) })
	switch l.kind {
	case toKill, killed:
		if rep := victimOf(fit, l); rep != nil {
			return rep
		}
	case taskIn, chosen:
		if same := filter(fit, func(rep *report) bool { return rep.sameCpuset(l) }); len(same) > 0 {
			return latest(same)
		}
	case tableHead:
		for _, rep := range rivals {
			rep.inTable = true // the rows count for all of them, so they decide nothing
		}
		return newest
	case limited, stats:
		if len(rivals) > 0 {
			return nil
		}
		return newest
	default:
		return newest
	}
	if len(rivals) > 0 && l.kind != chosen { // which tells all by itself
		return a.start(r)
	}
	return newest
}

// victimOf finds the report that is meant by a message that names a victim: by its
// pid, by the table that has it, else by its name, since who asks for memory is
// killed more often than not.
func victimOf(fit []*report, l oomLine) *report {
	for _, sure := range []func(rep *report) bool{
		func(rep *report) bool { return rep.kind != none && rep.pid == l.pid },
		func(rep *report) bool { return rep.invokerPID == l.pid },
		func(rep *report) bool { return rep.rows[l.pid] },
		func(rep *report) bool { return rep.invoker == l.comm || rep.kind == toKill && rep.comm == l.comm },
	} {
		if one := filter(fit, sure); len(one) == 1 {
			return one[0]
		}
	}
	return nil
}

// sameCpuset tells that the report's invoker is in the cgroup that a message names.
func (rep *report) sameCpuset(l oomLine) bool {
	if rep.cpuset == "" {
		return false
	}
	id := cgroupfs.PlaceOf(l.task).ID
	return rep.cpuset == l.name || id != "" && cgroupfs.PlaceOf(rep.cpuset).ID == id
}

// within tells that r is no further than limit from the report's last message; one
// that is long before it is of another boot. Without times it is near.
func (rep *report) within(limit time.Duration, r Record) bool {
	switch {
	case r.Boot >= 0 && rep.at.Boot >= 0:
		return (r.Boot - rep.at.Boot).Abs() < limit
	case !r.Time.IsZero() && !rep.at.Time.IsZero():
		return r.Time.Sub(rep.at.Time).Abs() < limit
	}
	return true
}

// fits tells that a message may go on with the report.
func (rep *report) fits(r Record, l oomLine) bool {
	if r.Caller != "" && rep.first.Caller != "" && r.Caller != rep.first.Caller {
		return false
	}
	switch l.kind {
	case invoked, reaped:
		return false
	case cpuset:
		return rep.cpuset == "" && rep.invoker == l.comm && rep.kind == none
	case onCPU:
		return rep.invokerPID == 0 && rep.invoker == l.comm
	case taskIn:
		return rep.task == "" && rep.limit == "" && rep.kind == none
	case chosen:
		return rep.kind == none && (rep.cpuset == "" || rep.cpuset == l.name)
	case toKill, killed:
		if rep.kind == chosen {
			return rep.pid == 0 || rep.pid == l.pid
		}
		agree := (!l.memc || !rep.global) && (!l.global || !rep.memc)
		return agree && (rep.kind == none || rep.kind == toKill && l.kind == killed)
	}
	return true
}

func filter(reps []*report, keep func(*report) bool) []*report {
	return slices.DeleteFunc(slices.Clone(reps), func(rep *report) bool { return !keep(rep) })
}

// latest is the report that got the last message.
func latest(reps []*report) *report {
	return slices.MaxFunc(reps, func(x, y *report) int { return x.touched - y.touched })
}

// take adds what a message says.
func (rep *report) take(r Record, l oomLine) {
	rep.at = r
	switch l.kind {
	case invoked:
		rep.invoker = l.comm
	case cpuset:
		rep.cpuset = l.name
		if rep.invoker == "" {
			rep.invoker = l.comm
		}
	case onCPU:
		rep.invokerPID = l.pid
	case taskIn:
		rep.task, rep.limit, rep.memc = l.task, l.limit, true
	case limited:
		if rep.bytes == 0 { // the first is of memory; those of swap and of kernel memory have other words
			rep.bytes = l.bytes
		}
	case stats:
		rep.memc = true
		if len(rep.stats) < 2 && !slices.Contains(rep.stats, l.task) {
			rep.stats = append(rep.stats, l.task)
		}
	case tableHead:
		rep.inTable = true
		return
	case chosen:
		l.bytes = rep.bytes
		rep.oomLine = l
	default:
		rep.kind, rep.pid, rep.inTable = l.kind, l.pid, false
		if l.comm != "" {
			rep.comm = l.comm
		}
		rep.memc, rep.global = rep.memc || l.memc, rep.global || l.global
	}
	switch l.kind {
	case onCPU:
	case chosen, toKill, killed, nobody, reaped:
		rep.say(r.Text, longestText)
	default: // room is left for those
		rep.say(r.Text, longestText/3)
	}
}

// say keeps a message for the event's text, if the text stays below most.
func (rep *report) say(text string, most int) {
	text = oneLine(text)
	if rep.size+len(text) < most {
		rep.text = append(rep.text, text)
		rep.size += len(text) + 1
	}
}

// addRow notes a process of the report's table.
func (rep *report) addRow(pid int) {
	if rep.rows == nil {
		rep.rows = map[int]bool{}
	}
	if len(rep.rows) < mostRows {
		rep.rows[pid] = true
	}
}

// event is what the report says. The victim's cgroup counts; without it the one
// whose limit was reached; without that the invoker's, unless it was the host
// that had no memory: then the invoker is just who came last.
func (rep *report) event() Event {
	e := rep.first.event(Event{Family: OOM, Process: rep.comm, PID: rep.pid, Global: rep.global, Limit: rep.bytes})
	e.Text = strings.Join(rep.text, "\n")
	mine := !rep.global || rep.pid != 0 && rep.pid == rep.invokerPID
	switch {
	case rep.task != "":
		e.at(rep.task)
	case len(rep.stats) == 1 && cgroupfs.PlaceOf(rep.stats[0]).ID != "":
		e.at(rep.stats[0])
	case rep.cpuset != "" && mine:
		e.at(rep.cpuset)
	case len(rep.stats) > 0:
		e.at(rep.stats[0])
	case rep.limit != "":
		e.at(rep.limit)
	}
	return e
}
