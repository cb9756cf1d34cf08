package kmsg

import (
	"slices"
	"strings"
	"time"
)

// foldWithin is how long after an event another of the same kind about the same
// thing counts as the same trouble.
const foldWithin = time.Hour

// A Folder counts what a log repeats: the kernel says every two minutes that a
// task hangs, and every ten seconds that a net device is not free. Kills are never
// folded. The zero value is ready.
type Folder struct {
	Most   int // events that are kept, 0 for any number; the first ones are
	Events []Event
	Left   int // events that were not kept
	seen   map[thing]int
}

// A thing is what an event is about.
type thing struct {
	family                  Family
	cgroup, process, device string
	pid                     int
}

// Add counts an event.
func (f *Folder) Add(e Event) {
	key := thing{e.Family, e.Cgroup, e.Process, e.Device, e.PID}
	if i, ok := f.seen[key]; ok && e.Family != OOM && near(f.Events[i], e) {
		old := &f.Events[i]
		old.Times += e.Times
		old.Last = e.Boot
		old.lastTime = e.Time
		if len(old.Text)+len(e.Text) < longestText && !strings.Contains(old.Text, e.Text) {
			old.Text += "\n" + e.Text
		}
		return
	}
	if f.Most > 0 && len(f.Events) >= f.Most {
		f.Left++
		return
	}
	if f.seen == nil {
		f.seen = map[thing]int{}
	}
	e = e.own()
	f.seen[thing{e.Family, e.Cgroup, e.Process, e.Device, e.PID}] = len(f.Events)
	e.Last, e.lastTime = e.Boot, e.Time
	f.Events = append(f.Events, e)
}

// Sort orders the events by where in the log they begin: a report is complete some
// lines later, and what has no end is told at the log's.
func (f *Folder) Sort() {
	slices.SortStableFunc(f.Events, func(x, y Event) int { return x.order - y.order })
	f.seen = nil
}

// own gives the event strings of its own: they are parts of lines, which may be long.
func (e Event) own() Event {
	for _, s := range []*string{&e.Container, &e.PodUID, &e.Process, &e.Device, &e.Cgroup, &e.Stamp, &e.Text} {
		*s = strings.Clone(*s)
	}
	for i, id := range e.Outer {
		e.Outer[i] = strings.Clone(id)
	}
	return e
}

// near tells that e is not long after the last of old, nor of another boot. Without
// times it is near.
func near(old, e Event) bool {
	if old.Last >= 0 && e.Boot >= 0 {
		return (e.Boot - old.Last).Abs() < foldWithin
	}
	return old.lastTime.IsZero() || e.Time.IsZero() || e.Time.Sub(old.lastTime).Abs() < foldWithin
}
