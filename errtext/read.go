package errtext

import (
	"strconv"
	"strings"
)

// mostEvents bounds the answer: a paste of megabytes tells of some hundred
// things, many times.
const mostEvents = 10000

// longestText is how much of a record an event keeps.
const longestText = 2048

// Read gives one event for each thing that the text tells of, in the order of
// the text. Lines that say nothing of trouble give none; a line about the same
// thing as an earlier one counts in its Times and fills what it left open.
//
// Any bytes are read; what is not understood is left out. The time is linear in
// the size of the text, and there are at most 10,000 events.
func Read(text []byte) []Event {
	m := merger{seen: map[string]int{}}
	var alone Event // the first error of which nothing is known
	var typed command
	for r := range records(text) {
		if n := repeats(r.low); n > 0 {
			m.again(n, r.no)
			continue
		}
		if isEcho(r.text) {
			typed = commandOf(&r)
			if !r.cutLine() {
				continue
			}
		}
		e, kind, ok := r.event()
		typed.complete(&e, &r)
		if ok {
			m.add(e, &r, kind)
		} else if e.Family != "" && alone.Family == "" && (kind.cause == unknownBusy || r.isError()) {
			alone = e
		}
	}
	if len(m.events) == 0 && alone.Family != "" {
		return []Event{alone} // who pastes one line asks about it
	}
	return m.events
}

// beginnings are those of sentences that are errors.
var beginnings = []string{"error ", "failed to ", "unable to ", "could not ", "cannot ", "health_warn ", "health_err "}

// isError tells that a record of which nothing is known is an error by its level,
// or by how it begins: "Error: ", "TASK ERROR: ", "WARNING: ", "rm: cannot". What
// programs say that have nothing to do with containers or storage is none.
func (r *record) isError() bool {
	known := r.program == "" || programs[r.program] != ""
	head, _, ok := strings.Cut(r.low, ": ")
	switch {
	case r.bad || r.warns || strings.HasPrefix(r.low, "error: "):
		return true
	case !known || r.calm && !strings.Contains(r.low, "error"):
		return false
	case r.program != "" || isOfTool(r.text) || hasPrefix(r.low, beginnings):
		return true
	}
	for part := range strings.SplitSeq(r.low, ": ") {
		if hasPrefix(part, beginnings[1:]) {
			return true
		}
	}
	return ok && len(head) < 48 && (strings.HasSuffix(" "+head, " error") || strings.HasSuffix(head, " failed") || head == "warning")
}

// atErrno finds what libc says, if it stands behind the path that it is about.
func atErrno(low string, otherwise int) int {
	at, said := hasAny(low, errnos...)
	if !said {
		return otherwise
	}
	if p, ok := pathBefore(low, at); ok && p.end == at {
		return at
	}
	return otherwise
}

// repeats reads syslogd's "last message repeated 3 times".
func repeats(low string) int {
	rest, ok := strings.CutPrefix(low, "last message repeated ")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(rest[:leading(rest, isDigit)])
	if err != nil {
		return 0
	}
	return min(max(n, 0), mostTimes)
}

// saysError tells that a record is an error though no rule knows it: by its level
// or by words that mean one in what that program prints.
func (r *record) saysError() bool {
	switch {
	case r.bad || saysError(r.low):
		return true
	case r.program == "kernel":
		return kernelError(r.low)
	case r.warns:
		_, gone := hasAny(r.low, "device not found", "not found in ")
		return gone
	}
	return isOfTool(r.text) && strings.Contains(r.low, " not ")
}

// event reads one record. An event that is not ok is an error of which nothing
// is known, neither who reports nor what it is about.
func (r *record) event() (Event, verdict, bool) {
	if r.text == "" {
		return Event{}, verdict{}, false
	}
	v, ok := judge(r.low)
	if !ok {
		if v, ok = first([]rule{vague}, r.low); !ok && !r.saysError() {
			return Event{}, verdict{}, false
		} else if !ok {
			v = vague.verdict
		}
	}
	if v.cause == vague.cause {
		v.at = atErrno(r.low, v.at)
	}
	r.low = withoutBranches(r.low)
	e := Event{Family: v.family, Cause: v.cause, NoLeak: v.noLeak, Line: r.no, Times: r.times * columnTimes(r.low)}
	e.Text = strings.Join(strings.Fields(r.text[:min(len(r.text), longestText)]), " ")
	e.Runtime = runtimeOf(r)
	e.Container = containerIDOf(r.low)
	e.PodUID = podOf(r.low)
	e.Process, e.PID = processOf(r.text, r.low)
	if kernelOnly := e.Runtime == "kernel"; !kernelOnly {
		e.Driver = driverOf(r.low, e.Runtime)
		e.Path = r.path(v)
	}
	waits := false
	if v.family == RuntimeHang {
		_, waits = hasAny(r.low, "for device ", "of device ", "rbd image ", "rbd args: [")
	}
	if waits || v.family == DeviceBusy || v.family == MountBusy || v.family == ThinPool || e.Runtime == "kernel" || v.family == Config || v.family == Other {
		e.Device = deviceOf(r.text, r.low, v)
	}
	if p, ok := devPath(r.low, v.at); ok && v.family == RuntimeHang {
		e.Device = r.text[p.start:p.end]
	}
	nothing := e.Runtime == "" && e.Container == "" && e.Path == "" && e.Device == "" && e.PodUID == ""
	stranger := r.program != "" && programs[r.program] == "" && v.cause == unconnected
	if vagueOnly := v.cause == vague.cause || v.cause == unknownBusy; nothing && (vagueOnly || stranger) {
		return e, v, false
	}
	return e, v, true
}

// path is what the failure is about, if it is a path and no device.
func (r *record) path(v verdict) string {
	switch v.family {
	case Pids, OOM:
		return ""
	case DeviceBusy:
		if p, ok := pathBefore(r.low, v.at); !ok || !attached(r.low, p.end, v.at) {
			return ""
		}
	case RuntimeHang:
		if p, ok := pathBefore(r.low, v.at); !ok || !attached(r.low, p.end, v.at) {
			return r.mountPoint()
		}
	}
	low := pathOf(r.low, v)
	if low == "" {
		if v.family != MountBusy {
			return ""
		}
		p, _ := relativeBefore(r.low, v.at)
		return r.text[p.start:p.end]
	}
	if isDevPath(low) {
		return r.secondPath(v)
	}
	i := strings.Index(r.low, low)
	return r.text[i : i+len(low)]
}

// mountPoint is the path of what hangs, if it is a mount and the text has no
// other path.
func (r *record) mountPoint() string {
	if _, mounts := hasAny(r.low, "mount"); !mounts {
		return ""
	}
	var only span
	for from, n := 0, 0; n < 16; n++ {
		p, ok := nextPath(r.low, from)
		if !ok {
			break
		}
		from = p.end
		if !isObject(r.low, p) {
			continue
		}
		if only.end > 0 && r.low[only.start:only.end] != r.low[p.start:p.end] || strings.HasSuffix(r.low[:p.end], ".sock") {
			return ""
		}
		only = p
	}
	return r.text[only.start:only.end]
}

// secondPath finds the mount point in "umount /dev/sdb1 (/mnt): busy".
func (r *record) secondPath(v verdict) string {
	for from, n := 0, 0; n < 16; n++ {
		p, ok := nextPath(r.low, from)
		if !ok {
			return ""
		}
		if from = p.end; isObject(r.low, p) && !isDevPath(r.low[p.start:p.end]) {
			return r.text[p.start:p.end]
		}
	}
	return ""
}

// attached tells that the words at say something of what ends at end: nothing
// but punctuation and a system call's name is between.
func attached(low string, end, at int) bool {
	between := strings.TrimPrefix(strings.Trim(low[end:at], "\"'): ("), "ebusy: ")
	_, called := hasAny(between, ") = -1 ebusy") // strace
	return called || between == "" || between == "pool or" || between == "connect" || between == "device or" || between == "failed" || between == "operation"
}

// columnTimes is the "(x12 over 27m)" of a table of events.
func columnTimes(low string) int {
	_, rest, ok := strings.Cut(low, "(x")
	if !ok {
		return 1
	}
	d := leading(rest, isDigit)
	n, err := strconv.Atoi(rest[:d])
	if err != nil || n < 1 || !strings.HasPrefix(rest[d:], " over ") {
		return 1
	}
	return min(n, mostTimes)
}

// processOf reads the victim of the OOM killer or a hung task.
//
// Source: Linux 6.12 mm/oom_kill.c, kernel/hung_task.c, kernel/watchdog.c.
func processOf(text, low string) (string, int) {
	if i := strings.Index(low, ",task="); i >= 0 {
		name, rest, _ := strings.Cut(text[i+len(",task="):], ",pid=")
		pid, _ := strconv.Atoi(rest[:leading(rest, isDigit)])
		return name, pid
	}
	if i := strings.Index(low, "killed process "); i >= 0 {
		return pidAndName(text[i+len("killed process "):])
	}
	if i := strings.Index(low, "kill process "); i >= 0 {
		return pidAndName(text[i+len("kill process "):])
	}
	if i := strings.Index(low, "task "); i >= 0 && strings.Contains(low[i:], " blocked for more than") {
		name, _, _ := strings.Cut(text[i+len("task "):], " blocked")
		return nameAndPID(name)
	}
	if i := strings.Index(low, " stuck for "); i >= 0 {
		if _, rest, ok := strings.Cut(text[i:], "! ["); ok {
			return nameAndPID(strings.TrimSuffix(rest, "]"))
		}
	}
	return "", 0
}

// pidAndName reads "28438 (java) total-vm", where a name may have parentheses.
func pidAndName(s string) (string, int) {
	d := leading(s, isDigit)
	pid, _ := strconv.Atoi(s[:d])
	rest, ok := strings.CutPrefix(s[d:], " (")
	if !ok {
		return "", pid
	}
	rest = rest[:min(len(rest), 32)] // TASK_COMM_LEN is 16
	end := strings.LastIndexByte(rest, ')')
	if end < 0 {
		return "", pid
	}
	return rest[:end], pid
}

// nameAndPID reads "runc:[1:CHILD]:185318".
func nameAndPID(s string) (string, int) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || i > 32 {
		return "", 0
	}
	pid, _ := strconv.Atoi(s[i+1:][:leading(s[i+1:], isDigit)])
	return s[:i], pid
}
