package kmsg

import (
	"strings"
)

// kind is which message of an out-of-memory report a line is.
type kind int

const (
	none      kind = iota
	invoked        // COMM invoked oom-killer: gfp_mask=...
	cpuset         // COMM cpuset=NAME mems_allowed=...
	onCPU          // CPU: 2 PID: 32498 Comm: COMM Not tainted ...
	taskIn         // Task in PATH killed as a result of limit of PATH
	limited        // memory: usage 10240kB, limit 10240kB, failcnt 14
	stats          // Memory cgroup stats for PATH: ...
	tableHead      // [ pid ]   uid  tgid total_vm ...
	row            // [28438]     0 28438 ... java
	chosen         // oom-kill:constraint=...,task=COMM,pid=PID,uid=UID
	toKill         // Memory cgroup out of memory: Kill process PID (COMM) score 0 or sacrifice child
	killed         // Killed process PID (COMM) total-vm:...
	groupOf        // Tasks in PATH are going to be killed due to memory.oom.group set
	reaped         // oom_reaper: reaped process PID (COMM), now ...
	nobody         // Out of memory and no killable processes...
)

// An oomLine is one message of a report. What it does not say is empty.
type oomLine struct {
	kind         kind
	comm         string
	pid          int
	name         string // of the invoker's cpuset cgroup, without the way to it
	task, limit  string // cgroup paths: the victim's, and the one whose limit was reached
	global, memc bool
	bytes        uint64
}

// readOOM reads one message of a report.
//
// Source: Linux 3.10, 4.4, 4.19, 5.10, 6.12 mm/oom_kill.c and mm/memcontrol.c;
// RHEL 6 and 7 print the victim's uid after or before its name.
func readOOM(text string) oomLine {
	if len(text) == 0 {
		return oomLine{}
	}
	switch text[0] {
	case '[':
		return readRow(text)
	case 'T':
		if l := readTaskIn(text); l.kind != none {
			return l
		}
	case 'm':
		if rest, ok := strings.CutPrefix(text, "memory: usage "); ok {
			return readLimit(rest)
		}
	case 'M':
		if l := readMemory(text); l.kind != none {
			return l
		}
	case 'C':
		if l := readCPU(text); l.kind != none {
			return l
		}
	case 'o':
		if l := readChosen(text); l.kind != none {
			return l
		}
	}
	if l := readInvoker(text); l.kind != none {
		return l
	}
	return readKill(text)
}

// readInvoker reads the two messages that begin with the comm of who asked for memory.
func readInvoker(text string) oomLine {
	head := text[:min(len(text), headerRoom)]
	if i := strings.Index(head, " invoked oom-killer: gfp_mask="); i > 0 {
		return oomLine{kind: invoked, comm: lastComm(head[:i])}
	}
	i := strings.Index(text, " cpuset=")
	if i <= 0 || i > headerRoom {
		return oomLine{}
	}
	name, _, ok := strings.Cut(text[i+len(" cpuset="):], " mems_allowed=")
	if !ok {
		return oomLine{}
	}
	return oomLine{kind: cpuset, comm: lastComm(text[:i]), name: name}
}

// lastComm cuts a header that was not known off a comm.
func lastComm(s string) string {
	if isComm(s) {
		return s
	}
	return s[strings.LastIndexByte(s, ' ')+1:]
}

// readCPU reads the header of a stack: "CPU: 4 UID: 0 PID: 1067 Comm: java Not
// tainted 6.13.0", the UID from 6.12 on.
//
// Source: Linux 6.12 lib/dump_stack.c, dump_stack_print_info.
func readCPU(text string) oomLine {
	rest, ok := strings.CutPrefix(text, "CPU: ")
	_, rest, _ = strings.Cut(rest[:min(len(rest), headerRoom)], "PID: ")
	pid, rest, isPID := number(rest)
	rest, named := strings.CutPrefix(rest, " Comm: ")
	if !ok || !isPID || !named {
		return oomLine{}
	}
	end := len(rest)
	for _, after := range []string{" Not tainted", " Tainted: ", " Kdump: "} {
		if i := strings.Index(rest, after); i >= 0 {
			end = min(end, i)
		}
	}
	if !isComm(rest[:end]) {
		return oomLine{}
	}
	return oomLine{kind: onCPU, pid: pid, comm: rest[:end]}
}

// readTaskIn reads the paths of an older kernel. A path ends at the first of the
// kernel's words: a container that puts them into the name of a cgroup below its
// own cuts off what it named, and nothing else.
func readTaskIn(text string) oomLine {
	if path, ok := strings.CutPrefix(text, "Tasks in "); ok {
		i := strings.Index(path, " are going to be killed due to memory.oom.group")
		if i < 0 {
			return oomLine{}
		}
		return oomLine{kind: groupOf, task: path[:i]}
	}
	path, ok := strings.CutPrefix(text, "Task in ")
	if !ok {
		return oomLine{}
	}
	if task, limit, ok := strings.Cut(path, " killed as a result of limit of "); ok {
		return oomLine{kind: taskIn, task: task, limit: limit}
	}
	task, ok := strings.CutSuffix(path, " killed") // Linux 3.10 goes on with another printk
	if !ok {
		return oomLine{}
	}
	return oomLine{kind: taskIn, task: task}
}

func readLimit(rest string) oomLine {
	_, rest, ok := strings.Cut(rest, "kB, limit ")
	digits := rest[:leading(rest, "0123456789")]
	if !ok || !strings.HasPrefix(rest[len(digits):], "kB") || digits == "" || len(digits) > 16 {
		return oomLine{}
	}
	var kb uint64
	for _, c := range digits {
		kb = kb*10 + uint64(c-'0')
	}
	if kb > 1<<52 { // "no limit" is the largest page counter
		kb = 0
	}
	return oomLine{kind: limited, bytes: kb << 10}
}

// readMemory reads what begins with "Memory" but tells of no kill.
func readMemory(text string) oomLine {
	if path, ok := strings.CutPrefix(text, "Memory limit reached of cgroup "); ok {
		return oomLine{kind: taskIn, limit: path}
	}
	path, ok := strings.CutPrefix(text, "Memory cgroup stats for ")
	if !ok {
		return oomLine{}
	}
	if i := strings.Index(path, ": cache:"); i >= 0 {
		path = path[:i]
	}
	return oomLine{kind: stats, task: strings.TrimSuffix(path, ":")}
}

// readChosen reads "oom-kill:constraint=C,nodemask=N,cpuset=NAME,mems_allowed=M,
// oom_memcg=PATH,task_memcg=PATH,task=COMM,pid=N,uid=N", of the host's OOM
// "global_oom" in place of oom_memcg.
//
// NAME has no slash in it, so the first ",oom_memcg=/" is the kernel's. PATHs may
// have any words in them; the victim's begins with the other one.
func readChosen(text string) oomLine {
	rest, ok := strings.CutPrefix(text, "oom-kill:constraint=")
	if !ok {
		return readReaped(text)
	}
	l := oomLine{kind: chosen}
	head, tail, isMemcg := strings.Cut(rest, ",oom_memcg=/")
	if before, after, ok := strings.Cut(rest, ",global_oom,task_memcg=/"); ok && (!isMemcg || len(before) < len(head)) {
		l.global, l.task, head = true, "/"+after, before
	} else if isMemcg {
		l.memc = true
		l.limit, l.task = twoPaths("/" + tail)
	}
	if _, name, ok := strings.Cut(head, ",cpuset="); ok {
		l.name, _, _ = strings.Cut(name, ",mems_allowed=")
	}
	pid := strings.LastIndex(l.task, ",pid=")
	if pid < 0 { // cut off: a record has at most 1 KiB, and in a text a newline in a comm ends the line
		if i := strings.LastIndex(l.task, ",task="); i >= 0 {
			l.task = l.task[:i]
		}
		return l
	}
	l.pid, _, _ = number(l.task[pid+len(",pid="):])
	const cue = ",task="
	at := strings.LastIndex(l.task[:pid], cue)
	window := max(0, pid-processComm-len(cue))
	if i := strings.Index(l.task[window:pid], cue); i >= 0 {
		at = window + i // the later ones are in the comm
	}
	if at >= 0 && isComm(l.task[at+len(cue):pid]) {
		l.comm, l.task = l.task[at+len(cue):pid], l.task[:at]
	}
	return l
}

// twoPaths parts "LIMIT,task_memcg=TASK" where TASK is LIMIT or below it.
func twoPaths(s string) (limit, task string) {
	const cue = ",task_memcg="
	for from := 0; ; {
		i := strings.Index(s[from:], cue)
		if i < 0 {
			return s, ""
		}
		limit, task = s[:from+i], s[from+i+len(cue):]
		if below, ok := strings.CutPrefix(task, limit); ok && (limit == "/" || below != "" && (below[0] == '/' || below[0] == ',')) {
			return limit, task
		}
		from += i + len(cue)
	}
}

// readReaped reads the reaper's messages.
func readReaped(text string) oomLine {
	rest, ok := strings.CutPrefix(text, "oom_reaper: ")
	if !ok {
		return oomLine{}
	}
	for _, cue := range []string{"reaped process ", "unable to reap pid:"} {
		if rest, ok := strings.CutPrefix(rest, cue); ok {
			if l := pidAndComm(rest, "), now "); l.pid > 0 {
				l.kind = reaped
				return l
			}
		}
	}
	return oomLine{}
}
