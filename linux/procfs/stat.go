package procfs

import "bytes"

// A Stat is the part of /proc/PID/stat that sexton uses.
type Stat struct {
	PID      int
	Comm     string // at most 15 bytes, 63 for kernel workers; may hold any byte but NUL
	State    byte   // one of R S D Z T t X x K W P I
	PPID     int    // 0 for pid 1, for kthreadd and for a parent outside of the reader's PID namespace
	PGRP     int
	Session  int
	Terminal int    // device of the controlling terminal, 0 for none
	Flags    uint64 // PF_* of include/linux/sched.h
	Threads  int    // of the thread group; 1 in a whole zombie, 0 in one that is being released
	Start    uint64 // clock ticks after boot, 100 a second on every Linux we build for
	ExitCode int    // as wait(2) gives it; 0 unless the reader may ptrace the process (kernel 3.5)
}

// Flags of a process that sexton tells apart. Linux 6.12 include/linux/sched.h.
const (
	FlagExiting = 0x00000004 // PF_EXITING
	FlagKernel  = 0x00200000 // PF_KTHREAD
)

// Fields of stat by their number in proc_pid_stat(5).
const (
	fieldState, fieldPPID, fieldPGRP, fieldSession, fieldTerminal = 3, 4, 5, 6, 7
	fieldFlags, fieldThreads, fieldStart, fieldExitCode           = 9, 20, 22, 52
)

// ParseStat parses one /proc/PID/stat or /proc/PID/task/TID/stat.
//
// The command name is taken up to the last ')', since a process may put ") R"
// in its own name. Kernels before 3.5 print no exit code; it is 0 then. A text
// that ends within or right after the start time is refused: cut digits would
// make another process of it.
//
// Source: proc_pid_stat(5); Linux 6.12 fs/proc/array.c, do_task_stat.
func ParseStat(text []byte) (Stat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 2 || end < open || text[open-1] != ' ' {
		return Stat{}, bad("stat", "no (comm) in", text)
	}
	s := Stat{Comm: string(text[open+1 : end])}
	var ok bool
	if s.PID, ok = integer(text[:open-1]); !ok || s.PID < 1 {
		return Stat{}, bad("stat", "pid", text[:open-1])
	}
	field, rest := 2, text[end+1:]
	for len(rest) > 0 {
		var word []byte
		if word, rest = nextWord(rest); len(word) == 0 {
			break
		}
		field++
		if name := s.set(field, word); name != "" {
			return Stat{}, bad("stat", name, word)
		}
	}
	if field <= fieldStart {
		return Stat{}, bad("stat", "fields end early in", text[end+1:])
	}
	return s, nil
}

// set stores one field and returns its name if the word does not fit it.
func (s *Stat) set(field int, word []byte) string {
	ok, name := true, ""
	switch field {
	case fieldState:
		s.State, ok, name = word[0], len(word) == 1 && (word[0]|0x20) >= 'a' && (word[0]|0x20) <= 'z', "state"
	case fieldPPID:
		s.PPID, ok = count(word)
		name = "ppid"
	case fieldPGRP:
		s.PGRP, ok = integer(word)
		name = "pgrp"
	case fieldSession:
		s.Session, ok = integer(word)
		name = "session"
	case fieldTerminal:
		s.Terminal, ok = integer(word)
		name = "tty_nr"
	case fieldFlags:
		s.Flags, ok = number(word)
		name = "flags"
	case fieldThreads:
		s.Threads, ok = count(word)
		name = "num_threads"
	case fieldStart:
		s.Start, ok = number(word)
		name = "starttime"
	case fieldExitCode:
		s.ExitCode, ok = integer(word)
		name = "exit_code"
	}
	if ok {
		return ""
	}
	return name
}

// nextWord splits off the next word; words are parted by spaces, and a newline ends the text.
func nextWord(text []byte) (word, rest []byte) {
	for len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	for i, c := range text {
		if c == ' ' {
			return text[:i], text[i+1:]
		}
		if c == '\n' {
			return text[:i], nil
		}
	}
	return text, nil
}
