package ptrace

// A use says how well a thread can be borrowed, by what it is doing; less is better.
type use int

const (
	harmless   use = iota // the call may return early, and the kernel starts it again where it was
	startsAnew            // the call would return EINTR, and is started again in place of the kernel
	prolonged             // so is this one, and its timeout begins anew
	ofAnswer              // its result matters: an early 0 is the end of a file, or no child
	running               // in no call: the registers are all there is
	never
)

// A place is where a thread was when it was looked at.
type place struct {
	call int64 // number of the system call; -1: none
	args [6]uint64
	pc   uint64 // address of the instruction behind the call
}

// parsePlace reads /proc/PID/task/TID/syscall: "running", "-1 SP PC", or a number, six arguments, SP and PC.
//
// Source: proc_pid_syscall(5); Linux 6.12 fs/proc/base.c, proc_pid_syscall.
func parsePlace(text []byte) (p place, ok bool) {
	word, rest := cutWord(text)
	switch string(word) {
	case "running", "-1":
		return place{call: -1}, true
	}
	n, ok := number(word)
	if !ok || n > 1<<20 {
		return p, false
	}
	p.call = int64(n)
	for i := range p.args {
		if word, rest = cutWord(rest); len(word) == 0 {
			return p, false
		}
		p.args[i] = hex(word)
	}
	_, rest = cutWord(rest)
	word, _ = cutWord(rest)
	p.pc = hex(word)
	return p, len(word) > 0
}

// use says how well a thread can be borrowed there.
func (p place) use() use {
	switch {
	case p.call >= 0:
		return callUse(p)
	case runningToo:
		return running
	}
	return never
}

// infinite reports whether an int argument is a timeout that never comes.
func infinite(timeout uint64) bool { return int32(timeout) < 0 }

// waits reports whether a futex call only waits: another one that returns 0 would tell of a lock.
//
// Source: futex(2).
func waits(operation uint64) bool {
	switch operation & 127 { // without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
	case 0, 9: // FUTEX_WAIT, FUTEX_WAIT_BITSET
		return true
	}
	return false
}
