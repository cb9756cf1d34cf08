package ptrace

import (
	"time"

	"golang.org/x/sys/unix"
)

// Built, and not run: see the package comment.

const (
	auditArch = 0xc00000b7 // AUDIT_ARCH_AARCH64
	callSize  = 4          // bytes of an instruction

	runningToo = false // no thread is borrowed that is in no call
)

// callUse is [place.use] for a system call: only those are taken that the kernel
// starts again as they were. Of one that a stop ends with EINTR the first argument
// is overwritten by now, and of one that goes on by restart_syscall (nanosleep,
// futex with a timeout) a tracer cannot tell that it does.
func callUse(p place) use {
	switch p.call {
	case unix.SYS_FUTEX:
		if waits(p.args[1]) && p.args[3] == 0 {
			return harmless
		}
	case unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_RT_SIGSUSPEND:
		return harmless
	}
	return never
}

func timeout(int, place) time.Duration { return 0 }

// registers are those of a stopped thread.
type registers struct{ unix.PtraceRegs }

func (r *registers) native() bool { return true } // 32-bit code has a smaller set

// A hold is a stopped thread as it was found, and where its waitid is made.
type hold struct {
	found registers
	at    place
	use   use
	site  uint64 // address of a svc instruction
	ended bool
}

// look says what the thread was doing. The kernel has prepared the call to
// start again by now: the next instruction is its svc.
//
// Source: Linux 6.12 arch/arm64/kernel/signal.c, do_signal.
func (h *hold) look(tid int) unix.Errno {
	h.site = h.found.Pc
	word, errno := peek(tid, h.site&^7) // an instruction is half of a word
	if h.site&4 != 0 {
		word >>= 32
	}
	h.at, h.use = place{call: -1}, never          // of a thread in no call the registers could be lost
	if errno != 0 || uint32(word) != 0xd4000001 { // svc #0
		return errno
	}
	h.at = place{call: int64(h.found.Regs[8]), args: [6]uint64(h.found.Regs[:6])}
	h.use = h.at.use()
	return 0
}

func isCall(uint64) bool { return false }

// waitid makes the registers of waitid(P_PID, pid, NULL, WEXITED|WNOHANG, NULL),
// which returns 0 and writes nothing.
func (h *hold) waitid(pid int) registers {
	r := h.found
	r.Pc, r.Regs[8] = h.site, unix.SYS_WAITID
	a := waitidArgs(pid)
	copy(r.Regs[:6], a[:])
	return r
}

// returned is what a call returned, at its exit.
func (r *registers) returned() (call, result int64) { return int64(r.Regs[8]), int64(r.Regs[0]) }

// back is what the thread goes on with: its call is before it, or, if the signal
// that comes has a handler, behind it with EINTR, as the kernel would have it.
func (h *hold) back(s unix.Signal, caught uint64) registers {
	r := h.found
	if s != 0 && caught>>(s-1)&1 != 0 {
		r.Pc, r.Regs[0] = h.site+callSize, ^uint64(unix.EINTR-1) // -EINTR
	}
	return r
}

func (h *hold) again() registers { return h.found }
