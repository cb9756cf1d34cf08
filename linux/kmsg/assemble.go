package kmsg

import (
	"slices"
	"strings"
	"time"

	"sexton.dev/linux/cgroupfs"
)

const (
	mostOpen    = 16      // reports that wait for their end; in a real log two at most
	mostRows    = 1 << 14 // processes of a report's table that are kept
	mostVictims = 64      // of the last reports, for the reaper's messages
	longestText = 4096    // of what an event keeps
	stallLines  = 40      // after a stall's message, until who was on the CPU is not looked for any more

	fresh = 2 * time.Second // reports that got a message within this may be mixed
	stale = time.Minute     // after this without a message a report is over
)

// An Assembler puts the messages of a log together to events. Its memory is
// bounded, whatever the log has in it. The zero value is ready.
type Assembler struct {
	open    []*report
	victims []int // pids
	group   oomLine
	stall   *Event // waits for the line that says who is on the CPU
	lines   int    // since stall
	count   int    // of messages of reports
	records int
	part    *Record
	out     []Event
}

// Add takes the next record of the log and gives the events that it completes.
func (a *Assembler) Add(r Record) []Event {
	a.out = nil
	if !r.Kernel {
		return nil
	}
	a.records++
	r.order = a.records
	switch {
	case a.part != nil && r.Partial && r.Caller == a.part.Caller && len(a.part.Text) < longestText:
		a.part.Text += r.Text
		return nil
	case a.part != nil:
		whole := *a.part
		a.part = nil
		a.add(whole)
	}
	if r.Partial {
		a.part = &r
		return a.out
	}
	a.add(r)
	return a.out
}

// Flush gives the events of what was begun and has no end: at the end of a log,
// or when it was quiet for a while.
func (a *Assembler) Flush() []Event {
	a.out = nil
	if a.part != nil {
		whole := *a.part
		a.part = nil
		a.add(whole)
	}
	a.endStall()
	for _, r := range a.open {
		a.emit(r.event())
	}
	a.open = nil
	return a.out
}

func (a *Assembler) emit(e Event) { a.out = append(a.out, e) }

func (a *Assembler) add(r Record) {
	if a.stall != nil {
		if a.lines++; a.lines > stallLines {
			a.endStall()
		}
	}
	if l := readOOM(r.Text); l.kind != none {
		a.addOOM(r, l)
		return
	}
	if isStall(r.Text) {
		if a.stall == nil { // its other messages are about the same stall
			e := r.event(Event{Family: SoftLockup})
			a.stall, a.lines = &e, 0
		}
		return
	}
	if e, ok := single(r.Text); ok {
		if e.Device == "" && e.Family == FSError {
			e.Device = r.Device
		}
		a.emit(r.event(e))
	}
}

func (a *Assembler) endStall() {
	if a.stall != nil {
		a.emit(*a.stall)
		a.stall = nil
	}
}

// event gives an event the record's times and text.
func (r Record) event(e Event) Event {
	e.Seq, e.Boot, e.Time, e.Stamp, e.Times, e.order = r.Seq, r.Boot, r.Time, r.Stamp, 1, r.order
	e.Text = oneLine(r.Text)
	return e
}

// oneLine is a message as /dev/kmsg has it: a newline in it is \x0a.
func oneLine(text string) string {
	text = strings.TrimRight(text[:min(len(text), longestText/3)], " \n")
	text = strings.ReplaceAll(text, "\n", `\x0a`)
	return text[:min(len(text), longestText)]
}

// at notes whose cgroup a path is.
func (e *Event) at(path string) {
	e.Cgroup = path[:min(len(path), 4096)]
	p := cgroupfs.PlaceOf(e.Cgroup)
	e.Container, e.Outer, e.PodUID = p.ID, p.Outer, p.PodUID
}

// addOOM takes a message of an out-of-memory report.
func (a *Assembler) addOOM(r Record, l oomLine) {
	switch l.kind {
	case onCPU:
		if a.stall != nil {
			if l.pid != 0 { // 0 is the idle task
				a.stall.Process, a.stall.PID = l.comm, l.pid
			}
			a.endStall()
			return
		}
	case groupOf:
		a.group = l
		return
	case reaped:
		if slices.Contains(a.victims, l.pid) {
			return
		}
	case invoked:
		a.group = oomLine{}
	}
	a.expire(r)
	if l.kind == row {
		for _, rep := range a.open {
			if rep.inTable {
				rep.addRow(l.pid)
				rep.at = r
			}
		}
		return
	}
	rep := a.reportOf(r, l)
	if rep == nil {
		return
	}
	a.count++
	rep.touched = a.count
	rep.take(r, l)
	if l.kind == killed || l.kind == nobody || l.kind == reaped {
		a.close(rep)
	}
}

// expire emits the reports that got no message for long: the kernel drops reports'
// lines when there are many, and kills all the same.
func (a *Assembler) expire(r Record) {
	a.open = slices.DeleteFunc(a.open, func(rep *report) bool {
		old := !rep.within(stale, r)
		if old {
			a.emit(rep.event())
		}
		return old
	})
}

// close emits a report that is whole.
func (a *Assembler) close(rep *report) {
	a.open = slices.DeleteFunc(a.open, func(o *report) bool { return o == rep })
	e := rep.event()
	if e.Cgroup == "" && rep.memc && a.group.task != "" { // killed along with the victim
		e.at(a.group.task)
	}
	if e.PID != 0 {
		if len(a.victims) == mostVictims {
			a.victims = a.victims[1:]
		}
		a.victims = append(a.victims, e.PID)
	}
	a.emit(e)
}

// start opens a report; the oldest gives way if there are too many.
func (a *Assembler) start(r Record) *report {
	if len(a.open) == mostOpen {
		a.emit(a.open[0].event())
		a.open = a.open[1:]
	}
	rep := &report{first: r, at: r}
	a.open = append(a.open, rep)
	return rep
}
