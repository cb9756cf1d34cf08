package errtext

import "strings"

// near is how many lines apart lines without a subject may be to be one event:
// a program's second sentence, or a report of the kernel.
const (
	near       = 2
	nearKernel = 60
)

// A merger makes one event of the records about one thing.
type merger struct {
	events []Event
	seen   map[string]int // by family and a subject: the last such event
	last   int            // line where the last event's last record ends
	tag    string         // the program of that record, if its header names it
}

// add puts an event to the earlier one about the same thing, or after the rest.
func (m *merger) add(e Event, r *record, v verdict) {
	if i, ok := m.same(e, r.program, v); ok {
		m.fill(&m.events[i], e, v)
		m.note(i)
		m.last, m.tag = r.last, r.program
		return
	}
	if v.context || len(m.events) == mostEvents {
		return
	}
	m.events = append(m.events, e)
	m.note(len(m.events) - 1)
	m.last, m.tag = r.last, r.program
}

// again counts a note that the last message came n times more.
func (m *merger) again(n, line int) {
	if len(m.events) > 0 && line-m.last <= 1 {
		m.events[len(m.events)-1].Times += n
		m.last = line
	}
}

// same finds the event that e is about, too: one with an equal subject and none
// that differs, or the last one if one of the two names no subject and it is near.
func (m *merger) same(e Event, tag string, v verdict) (int, bool) {
	if v.cause == vague.cause {
		e.Family = "" // a failure without a reason goes with the one that has it
	}
	for _, s := range subjects(e) {
		if i, ok := m.seen[s]; ok && compatible(m.events[i], e) {
			return i, true
		}
	}
	vagueOnly := e
	vagueOnly.Family = ""
	for _, s := range subjects(vagueOnly) {
		if i, ok := m.seen[s]; ok && m.events[i].Cause == vague.cause && compatible(m.events[i], e) {
			return i, true
		}
	}
	if len(m.events) == 0 {
		return 0, false
	}
	i := len(m.events) - 1
	before := m.events[i]
	distance := near
	if e.Runtime == "kernel" {
		distance = nearKernel
	}
	alone := len(subjects(e)) == 0 || len(subjects(before)) == 0 || e.Device != "" && before.Device != "" && sameDevice(before, e)
	vaguely := v.cause == vague.cause && (len(subjects(e)) == 0 || e.Device != "" || len(subjects(before)) == 0 && e.Line-m.last <= 1) || follows(e) || before.Cause == vague.cause && e.Line-m.last <= 1
	close := e.Line-m.last <= distance && (alone || e.Family == OOM && e.Runtime == "kernel")
	begins := e.Family == OOM && before.PID != 0 && e.PID == 0 && strings.Contains(lower(e.Text), "invoked oom-killer")
	apart := len(subjects(before)) > 0 && (!mayBeOne(before.Runtime, e.Runtime) || tag != "" && m.tag != "" && tag != m.tag)
	return i, close && !begins && !apart && (before.Family == e.Family || vaguely || fails(before, e) || isBusy(before) && isBusy(e) && e.Line-m.last <= 1) && compatible(before, e)
}

// subjects are the keys of what an event is about.
func subjects(e Event) []string {
	var out []string
	for _, s := range []struct{ kind, value string }{{"path", e.Path}, {"container", e.Container[:min(12, len(e.Container))]}, {"device", e.Device}, {"pod", e.PodUID}} {
		if s.value != "" {
			out = append(out, string(e.Family)+" "+s.kind+" "+s.value)
		}
	}
	return out
}

// compatible tells that nothing in two events differs.
func compatible(a, b Event) bool {
	agree := func(x, y string) bool { return x == "" || y == "" || x == y }
	short := min(len(a.Container), len(b.Container))
	return agree(a.Path, b.Path) && (agree(a.Device, b.Device) || sameDevice(a, b)) && agree(a.PodUID, b.PodUID) &&
		a.Container[:short] == b.Container[:short] && (a.PID == 0 || b.PID == 0 || a.PID == b.PID || announces(a) && a.Process == b.Process)
}

// mayBeOne tells that two lines may be one program's: buildah is in podman.
func mayBeOne(a, b string) bool {
	return a == "" || b == "" || a == b || a == "podman" && b == "buildah"
}

// follows tells that a line says what came of the trouble before it: it names
// nothing and nobody.
func follows(e Event) bool {
	return (e.Family == Other || e.Family == "") && e.Runtime == "" && len(subjects(e)) == 0
}

// fails tells that a device has errors after it did not answer, as the kernel says.
func fails(before, e Event) bool {
	return before.Family == RuntimeHang && before.Device != "" && before.Device == e.Device && e.Family == Other && e.Runtime == "kernel"
}

// isBusy tells an EBUSY: of a line that names nothing it is not known of what.
func isBusy(e Event) bool { return e.Family == MountBusy || e.Family == DeviceBusy }

// sameDevice tells that two names may be one device's: with its directory or
// volume group, and without; LVM's vg/pool is vg-pool-tpool below it. A tool names it by its number, too, and the kernel
// calls a file system's journal by the device and the journal's inode: sda-8.
func sameDevice(x, y Event) bool {
	a, b := x.Device, y.Device
	if len(a) < len(b) {
		a, b = b, a
	}
	if x.Runtime != "kernel" && isNumbers(a) != isNumbers(b) {
		return true
	}
	return a == b || strings.HasSuffix(a, "/"+b) || strings.HasSuffix(a, "-"+b) || a == b+"-8" || strings.HasPrefix(a, strings.Replace(b, "/", "-", 1)+"-") && strings.Contains(b, "/")
}

// isNumbers tells a device's major and minor number.
func isNumbers(device string) bool {
	major, minor, ok := strings.Cut(device, ":")
	return ok && allDigits(major) && allDigits(minor)
}

// announces tells that the kernel says whom it is about to kill: the pid may be
// a thread's, "Killed process" names the process.
func announces(e Event) bool { return strings.Contains(e.Text, "Kill process ") }

// fill adds to an event what another record of it says.
func (m *merger) fill(into *Event, e Event, v verdict) {
	set := func(to *string, from string) {
		if *to == "" {
			*to = from
		}
	}
	set(&into.Runtime, e.Runtime)
	set(&into.Driver, e.Driver)
	set(&into.Path, e.Path)
	set(&into.Device, e.Device)
	set(&into.PodUID, e.PodUID)
	if len(e.Container) > len(into.Container) {
		into.Container = e.Container
	}
	if e.PID != 0 && (into.PID == 0 || announces(*into)) {
		into.Process, into.PID, into.Text = e.Process, e.PID, e.Text
	}
	if into.Cause == vague.cause && v.cause != vague.cause {
		into.Family, into.Cause, into.NoLeak, into.Text = e.Family, e.Cause, e.NoLeak, e.Text
	}
	if !v.context {
		into.Times = min(into.Times+e.Times, mostTimes)
	}
}

// note remembers what an event is about.
func (m *merger) note(i int) {
	e := m.events[i]
	for range 2 {
		for _, s := range subjects(e) {
			m.seen[s] = i
		}
		e.Family = ""
	}
}
