package procfs

import (
	"bytes"
	"math"
	"strconv"
)

// A Status is the part of /proc/PID/status that sexton uses. Signal sets have
// bit n-1 for signal n.
type Status struct {
	UID       int    // real
	Tracer    int    // pid of the ptrace(2) tracer, 0 for none
	NSpid     []int  // pid in each PID namespace, that of the reader's /proc first; nil before kernel 4.1
	SigPnd    uint64 // pending to the thread
	ShdPnd    uint64 // pending to the process
	SigBlk    uint64
	SigIgn    uint64
	SigCgt    uint64
	CapEff    uint64 // effective capabilities, bit n for capability n
	Seccomp   int    // 0 none, 1 strict, 2 filter; 0 where the kernel does not say (before 3.8)
	Voluntary uint64 // context switches of the thread because it waited
	Forced    uint64 // context switches because its time was up
}

// Switches is how often the thread has left the processor: equal in two looks, it did
// not run between them.
func (s Status) Switches() uint64 { return s.Voluntary + s.Forced }

// ParseStatus parses one /proc/PID/status or /proc/PID/task/TID/status.
//
// A zombie keeps its signal sets; those of a task that is being released read
// as 0. The Name line is escaped by the kernel (\n, \\), so a comm cannot forge
// a line, and it is not used. Unknown lines are passed over.
//
// Source: proc_pid_status(5); Linux 6.12 fs/proc/array.c, proc_pid_status.
func ParseStatus(text []byte) (Status, error) {
	var s Status
	seen := false
	for line := range bytes.Lines(text) {
		key, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		good := true
		switch string(key) {
		case "Pid":
			_, good = count(value)
			seen = true
		case "Uid":
			word, _ := nextWord(bytes.ReplaceAll(value, []byte{'\t'}, []byte{' '}))
			var n uint64
			n, good = number(word)
			good = good && n <= math.MaxUint32
			s.UID = int(n)
		case "TracerPid":
			s.Tracer, good = count(value)
		case "NSpid":
			s.NSpid, good = counts(value)
		case "SigPnd":
			s.SigPnd, good = hex(value)
		case "ShdPnd":
			s.ShdPnd, good = hex(value)
		case "SigBlk":
			s.SigBlk, good = hex(value)
		case "SigIgn":
			s.SigIgn, good = hex(value)
		case "SigCgt":
			s.SigCgt, good = hex(value)
		case "CapEff":
			s.CapEff, good = hex(value)
		case "Seccomp":
			s.Seccomp, good = count(value)
		case "voluntary_ctxt_switches":
			s.Voluntary, good = number(value)
		case "nonvoluntary_ctxt_switches":
			s.Forced, good = number(value)
		}
		if !good {
			return Status{}, bad("status", string(key), value)
		}
	}
	if !seen {
		return Status{}, bad("status", "no Pid line in", text)
	}
	return s, nil
}

// hex parses a signal set: always 16 digits, so fewer are a cut line.
func hex(text []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(text), 16, 64)
	return n, err == nil && len(text) == 16
}

func counts(text []byte) ([]int, bool) {
	var out []int
	for _, word := range bytes.Fields(text) {
		n, ok := count(word)
		if !ok {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}
