package ptrace

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	auditArch = 0xc000003e // AUDIT_ARCH_X86_64
	callSize  = 2          // bytes of a syscall instruction

	runningToo = true // threads in no call are borrowed, if there are no others
)

// callUse is [place.use] for a system call.
//
// Source: signal(7), "Interruption of system calls and library functions by stop signals".
func callUse(p place) use {
	timeout := p.args[3]
	switch p.call {
	case unix.SYS_FUTEX:
		if waits(p.args[1]) {
			return harmless
		}
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_POLL, unix.SYS_PPOLL, unix.SYS_SELECT, unix.SYS_PSELECT6, unix.SYS_PAUSE, unix.SYS_RT_SIGSUSPEND:
		return harmless
	case unix.SYS_RESTART_SYSCALL: // one of these, after another stop
		return harmless
	case unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_PWAIT:
		if infinite(timeout) {
			return startsAnew
		}
		return prolonged
	case unix.SYS_EPOLL_PWAIT2:
		if timeout == 0 {
			return startsAnew
		}
		return prolonged
	case unix.SYS_RT_SIGTIMEDWAIT:
		return ofAnswer
	case unix.SYS_READ, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_WAIT4, unix.SYS_WAITID:
		return ofAnswer
	}
	return never
}

// endsWithEINTR has the calls that any stop ends, without a signal. A receive
// does so if its socket has a timeout.
func endsWithEINTR(call int64) bool {
	switch call {
	case unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, unix.SYS_RT_SIGTIMEDWAIT,
		unix.SYS_READ, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		return true
	}
	return false
}

// timeout of a call that a stop ends with EINTR: it is started again with all of
// it. 0: it has none.
func timeout(tid int, p place) time.Duration {
	var at uint64
	switch p.call {
	case unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_PWAIT:
		return max(0, time.Duration(int32(p.args[3]))*time.Millisecond)
	case unix.SYS_EPOLL_PWAIT2:
		at = p.args[3]
	case unix.SYS_RT_SIGTIMEDWAIT:
		at = p.args[2]
	}
	if at == 0 {
		return 0
	}
	var ts unix.Timespec
	if err := peekAt(tid, at, unsafe.Pointer(&ts), unsafe.Sizeof(ts)); err != nil || ts.Sec < 0 || ts.Sec > int64(longestWait/time.Second) {
		return longestWait
	}
	return time.Duration(ts.Sec)*time.Second + time.Duration(ts.Nsec)
}

// registers are those of a stopped thread.
type registers struct{ unix.PtraceRegs }

const userCode = 0x33 // CS of 64-bit code

func (r *registers) native() bool { return r.Cs == userCode }

func (r *registers) where() place {
	if int64(r.Orig_rax) < 0 {
		return place{call: -1}
	}
	return place{int64(r.Orig_rax), [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}, r.Rip}
}

// The errors by which the kernel remembers that it starts a call again.
const (
	restartSys     = -512 // ERESTARTSYS
	restartNoIntr  = -513 // ERESTARTNOINTR
	restartNoHand  = -514 // ERESTARTNOHAND
	restartByBlock = -516 // ERESTART_RESTARTBLOCK
)

// A hold is a stopped thread as it was found, and where its waitid is made.
type hold struct {
	found registers
	at    place
	use   use
	site  uint64 // address of a syscall instruction
	ended bool   // its call has ended with EINTR, which is hidden
}

// look says what the thread was doing. A call that has ended, with an answer that would be lost, is never borrowed.
func (h *hold) look(tid int) unix.Errno {
	h.at = h.found.where()
	h.use, h.site, h.ended = h.at.use(), 0, false
	if h.use == running || h.use == never {
		return 0
	}
	switch int64(h.found.Rax) {
	case restartSys, restartNoIntr, restartNoHand, restartByBlock:
	case -int64(unix.EINTR):
		h.ended = endsWithEINTR(h.at.call)
		if !h.ended {
			h.use = never
		}
	default:
		h.use = never
	}
	h.site = h.found.Rip - callSize
	word, errno := peek(tid, h.site)
	if errno == 0 && !isCall(word) { // int 0x80, or a trick
		h.use = never
	}
	return errno
}

// isCall reports whether a word in memory begins with a syscall instruction.
func isCall(word uint64) bool { return word&0xffff == 0x050f }

// waitid makes the registers of waitid(P_PID, pid, NULL, WEXITED|WNOHANG, NULL),
// which returns 0 and writes nothing. No call is on its way in them, so nothing
// is started again.
func (h *hold) waitid(pid int) registers {
	r := h.found
	r.Rip, r.Rax, r.Orig_rax = h.site, unix.SYS_WAITID, ^uint64(0)
	a := waitidArgs(pid)
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = a[0], a[1], a[2], a[3], a[4], a[5]
	return r
}

// returned is what a call returned, at its exit.
func (r *registers) returned() (call, result int64) { return int64(r.Orig_rax), int64(r.Rax) }

// back is what the thread goes on with; the kernel starts its call again, or
// ends it with EINTR if the signal that comes has a handler.
func (h *hold) back(unix.Signal, uint64) registers { return h.found }

// again is the same before the call, for a call that has ended with EINTR.
func (h *hold) again() registers {
	r := h.found
	r.Rax, r.Orig_rax, r.Rip = r.Orig_rax, ^uint64(0), h.site
	return r
}
