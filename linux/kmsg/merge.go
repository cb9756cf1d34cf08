package kmsg

import (
	"slices"
	"strings"
	"time"
)

// mostAlike bounds with how many events of one thing another is compared.
const mostAlike = 100

// A Merger puts several logs of one host together: a sos report has the same events in
// what journald, syslog and dmesg kept, with other times each. The zero value is ready.
type Merger struct {
	Events []Event // in the order in which the logs were added; within one as [Folder.Sort] has them
	Left   int     // events that were not kept
	seen   map[telling][]int
}

// A telling is what an event tells. A kill is told by its last message alone: those before
// it, which have the cgroup, may be cut off in one of the logs.
type telling struct {
	thing
	last string
}

// Add adds a log, whose events are folded. What an earlier log tells too, of the same time
// as far as both have one of the same kind, is left out.
func (m *Merger) Add(log string, f *Folder) {
	f.Sort()
	if m.seen == nil {
		m.seen = map[telling][]int{}
	}
	m.Left += f.Left
	before := len(m.Events)
	for _, e := range f.Events {
		all := m.seen[tellingOf(&e)]
		all = all[max(0, len(all)-mostAlike):]
		if i := slices.IndexFunc(all, func(i int) bool { return meet(&m.Events[i], &e) }); i >= 0 {
			old := &m.Events[all[i]]
			old.Times = max(old.Times, e.Times)
			continue
		}
		e.Log = log
		m.Events = append(m.Events, e)
	}
	for i := before; i < len(m.Events); i++ { // one of the same log is another event
		is := tellingOf(&m.Events[i])
		m.seen[is] = append(m.seen[is], i)
	}
}

func tellingOf(e *Event) telling {
	if e.Family == OOM {
		return telling{thing{family: OOM}, e.Text[strings.LastIndexByte(e.Text, '\n')+1:]}
	}
	return telling{thing: thing{e.Family, e.Cgroup, e.Process, e.Device, e.PID}}
}

// meet reports whether what two logs tell of one thing may be of the same time.
func meet(a, b *Event) bool {
	if a.Boot >= 0 && b.Boot >= 0 {
		return a.Boot <= b.Last+foldWithin && b.Boot <= a.Last+foldWithin
	}
	if a.Time.IsZero() || b.Time.IsZero() {
		return true
	}
	return !a.Time.After(until(b)) && !b.Time.After(until(a))
}

// until is how long after an event another one of the same thing is no new trouble.
func until(e *Event) time.Time {
	last := e.lastTime
	if last.Before(e.Time) {
		last = e.Time
	}
	return last.Add(foldWithin)
}
