package kmsg

import "strings"

// readKill reads the messages that name a victim, each with or without the reason
// before it ("Memory cgroup out of memory: ", "Out of memory (oom_kill_allocating_task): "):
//
//	Kill process PID (COMM) score N or sacrifice child        before 5.3
//	Killed process PID (COMM) total-vm:...                    all
//	Killed process PID (COMM), UID 0, total-vm:...            RHEL 7
//	Killed process PID, UID 0, (COMM) total-vm:...            RHEL 6
func readKill(text string) oomLine {
	if strings.HasPrefix(text, "Kernel panic - ") {
		return noVictim(text)
	}
	reason, rest := "", text
	if !strings.HasPrefix(text, "Kill") {
		i := strings.Index(text[:min(len(text), 64)], "ut of memory")
		if i < 0 || i > 24 {
			return oomLine{}
		}
		var ok bool
		if reason, rest, ok = strings.Cut(text, ": "); !ok {
			reason = text
		}
		if !strings.HasPrefix(reason, "Memory cgroup out of memory") && !strings.HasPrefix(reason, "Out of memory") {
			return noVictim(text)
		}
	}
	l := oomLine{memc: strings.HasPrefix(reason, "Memory"), global: strings.HasPrefix(reason, "Out")}
	if victim, ok := strings.CutPrefix(rest, "Kill process "); ok {
		if strings.HasSuffix(victim, ") sharing same memory") {
			return oomLine{} // of the one that was named before
		}
		return l.with(toKill, pidAndComm(victim, ") score "))
	}
	if victim, ok := strings.CutPrefix(rest, "Killed process "); ok {
		return l.with(killed, pidAndComm(victim, ") total-vm:", "), UID ", ") vsz:"))
	}
	if victim, ok := strings.CutPrefix(rest, "OOM victim "); ok { // already exiting, so nobody is killed
		return l.with(killed, pidAndComm(victim, ") is already exiting"))
	}
	return noVictim(text)
}

func (l oomLine) with(k kind, victim oomLine) oomLine {
	if victim.pid == 0 {
		return oomLine{}
	}
	l.kind, l.pid, l.comm = k, victim.pid, victim.comm
	return l
}

// noVictim reads the messages of a kernel that has nobody to kill, or does not try.
func noVictim(text string) oomLine {
	rest, _ := strings.CutPrefix(text, "Kernel panic - not syncing: ")
	global := strings.HasPrefix(rest, "Out of memory")
	memory := strings.HasPrefix(rest, "Memory cgroup out of memory")
	for _, words := range []string{"and no killable processes", "panic_on_oom"} {
		if (global || memory) && strings.Contains(rest, words) {
			return oomLine{kind: nobody, global: global, memc: memory}
		}
	}
	return oomLine{}
}

// pidAndComm reads "PID (COMM" up to the last of the ends, or of the closing
// brackets if none is there. A comm may have any of these in it, but the kernel's
// comes after that.
func pidAndComm(s string, ends ...string) oomLine {
	pid, rest, ok := number(s)
	if !ok || pid == 0 {
		return oomLine{}
	}
	if uid, ok := strings.CutPrefix(rest, ", UID "); ok {
		_, rest, _ = number(uid)
		rest = strings.TrimPrefix(rest, ",")
	}
	rest, ok = strings.CutPrefix(rest, " (")
	if !ok {
		return oomLine{}
	}
	window := rest[:min(len(rest), longestComm+16)]
	at := -1
	for _, end := range ends {
		at = max(at, strings.LastIndex(window, end))
	}
	if at < 0 {
		at = strings.LastIndexByte(window, ')')
	}
	if at < 0 || !isComm(window[:at]) {
		return oomLine{pid: pid}
	}
	return oomLine{pid: pid, comm: window[:at]}
}

// readRow reads a process of the table: "[ pid ] uid tgid total_vm rss ... name".
func readRow(text string) oomLine {
	inside, rest, ok := bracket(text)
	inside = strings.TrimSpace(inside)
	if ok && inside == "pid" {
		return oomLine{kind: tableHead}
	}
	if !ok || !allDigits(inside) {
		return oomLine{}
	}
	words := strings.Fields(rest[:min(len(rest), 40)])
	if len(words) < 3 || !allDigits(words[0]) || !allDigits(words[1]) {
		return oomLine{}
	}
	pid, _, isPID := number(inside)
	if !isPID {
		return oomLine{}
	}
	return oomLine{kind: row, pid: pid}
}
