package ptrace

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// A burst borrows one thread once. From its stop to its end nothing is
// allocated, and Go's scheduler is not told of system calls.
type burst struct {
	*reaper
	tid      int
	plan     use
	vdso     uint64 // a syscall instruction for a thread that is in no call
	hold     hold
	last     stop
	changed  bool   // the registers are not those that were found
	answered uint32 // by a filter, for errFiltered
	result   int64  // of waitid, for errStrange
}

// What may be in the way once the thread is stopped.
var (
	errBits     = errors.New("32-bit code")
	errMode     = errors.New("seccomp mode strict")
	errUnread   = errors.New("filters cannot be read")
	errFiltered = errors.New("filter forbids waitid")
	errCritical = errors.New("restartable sequence")
	errStrange  = errors.New("waitid failed")
)

// run stops the thread, reaps, and lets it go as it was. If nothing was reaped
// without an error it was not the moment.
func (b *burst) run() error {
	switch errno := ptrace(unix.PTRACE_SEIZE, b.tid, 0, unix.PTRACE_O_TRACESYSGOOD); errno {
	case 0:
	case unix.ESRCH:
		return nil // it has ended; check looks for the process
	case unix.EPERM: // it may have ended too, or a debugger came first
		if s, errno := b.proc.status(b.pid, b.tid); errno == 0 && s.tracer != 0 {
			return b.traced(s.tracer)
		}
		if _, ok := b.place(b.tid); !ok {
			return nil
		}
		return b.forbidden(errno)
	default:
		return errno
	}
	ptrace(unix.PTRACE_INTERRUPT, b.tid, 0, 0)
	switch b.last = b.wait(b.tid, stopLimit); b.last.kind {
	case late:
		return refuse("resume its container if that is paused; else /proc/PID/wchan says what it waits for", "process %d did not stop within %v: it is frozen, or it waits without interruption", b.pid, stopLimit)
	case byInterrupt:
	case byGroup:
		b.end()
		return refuse("send it SIGCONT: then it may reap by itself", "process %d is stopped by %v", b.pid, b.last.signal)
	default: // gone, or a signal came first
		b.end()
		return nil
	}
	until := time.Now().Add(burstLimit)
	err := b.ready()
	for err == nil && len(b.left) > 0 && b.last.kind != gone && time.Now().Before(until) {
		var more bool
		if more, err = b.reap(b.left[0]); !more {
			break
		}
		b.left = b.left[1:]
	}
	b.end()
	return b.refusal(err)
}

// errLater means that this is not the moment.
var errLater = errors.New("not now")

// ready reports, by no error, that the thread can be borrowed as it is now.
func (b *burst) ready() error {
	ok, errno := b.hold.found.get(b.tid)
	if errno != 0 {
		return errLater
	}
	if !ok {
		return errBits
	}
	if _, errno := b.proc.stat(b.pid, b.tid); errno != 0 || !b.alive() { // is it a thread of the one that was pinned?
		b.hold.use = never
		return errLater
	}
	if errno := b.hold.look(b.tid); errno != 0 || b.hold.use > b.plan {
		return errLater
	}
	if b.hold.use == running {
		if b.hold.site = b.vdso; b.vdso == 0 {
			return errLater
		}
		if inCritical(b.tid) {
			return errCritical
		}
	}
	s, errno := b.proc.status(b.pid, b.tid)
	b.caught = s.caught
	switch {
	case errno != 0:
		return errLater
	case s.seccomp == unix.SECCOMP_MODE_DISABLED:
		b.filters.none()
		return nil
	case s.seccomp != unix.SECCOMP_MODE_FILTER:
		return errMode
	case b.filters.fetch(b.tid) != 0:
		return errUnread
	}
	return nil
}

// reap reaps one child, if it is still what it was. more: the burst can go on.
func (b *burst) reap(c numbered) (more bool, err error) {
	o := Outcome{PID: c.PID}
	s, errno := b.proc.stat(c.PID, 0)
	switch {
	case errno != 0 || s.state == 'X':
		o.Why = "it has gone already"
	case s.start != c.Start:
		o.Why = "its pid belongs to another process by now"
	case s.ppid != b.pid:
		o.Why = "it is not a child of this parent"
	case s.state != 'Z':
		o.Why = "it is not dead"
	case s.threads > 1:
		o.Why = "other threads of it live"
	default:
		o.Status = s.status
		if b.answered, err = b.filters.judge(unix.SYS_WAITID, b.hold.site+callSize, waitidArgs(c.inner)); err != nil {
			return false, errFiltered
		}
		if !b.inject(c.inner) {
			return false, nil
		}
		if err := b.look(c, &o); err != nil {
			return false, err
		}
	}
	b.out = append(b.out, o)
	return true, nil
}

// waitidArgs are those of waitid(P_PID, pid, NULL, WEXITED|WNOHANG, NULL).
func waitidArgs(pid int) [6]uint64 {
	return [6]uint64{unix.P_PID, uint64(pid), 0, unix.WEXITED | unix.WNOHANG}
}

// inject lets the thread call waitid, up to the exit of the call; not ok if something came between.
func (b *burst) inject(pid int) bool {
	r := b.hold.waitid(pid)
	if r.put(b.tid) != 0 {
		b.last.kind = gone
		return false
	}
	b.changed = true
	for range 2 { // entry, exit
		if !b.toCall() {
			return false
		}
	}
	return true
}

// toCall runs the thread to the next entry or exit of a call. The stop of an
// interrupt comes when SIGCONT was sent; that signal has its own.
func (b *burst) toCall() bool {
	for range 8 {
		if ptrace(unix.PTRACE_SYSCALL, b.tid, 0, 0) != 0 {
			b.last.kind = gone
			return false
		}
		b.last = b.wait(b.tid, stopLimit)
		if b.last.kind == late { // its container was paused just now: version 2 of cgroups stops it all the same
			ptrace(unix.PTRACE_INTERRUPT, b.tid, 0, 0)
			b.last = b.wait(b.tid, 0)
			return false
		}
		if b.last.kind != byInterrupt {
			break
		}
	}
	return b.last.kind == byCall
}

// look says what waitid did: it returns 0 also if it reaped nothing.
func (b *burst) look(c numbered, o *Outcome) error {
	var r registers
	if _, errno := r.get(b.tid); errno != 0 {
		b.last.kind = gone
	}
	call, result := r.returned()
	s, errno := b.proc.stat(c.PID, 0)
	left := errno == 0 && s.start == c.Start
	switch {
	case b.last.kind == gone:
		o.Why = "the parent ended"
	case call != unix.SYS_WAITID || result != 0 && result != -int64(unix.ECHILD):
		b.result = result
		return errStrange
	case left:
		o.Why = "waitid left it"
	case result != 0:
		o.Why = "its parent reaped it at the same moment"
	default:
		o.Reaped = true
	}
	return nil
}

// end lets the thread go on as it was found, with the signal that came between.
//
// After the exit of a call the kernel does not start calls again; it does so
// after a stop that it makes on the way of signals, so there is one more.
func (b *burst) end() {
	if b.changed && b.last.kind == byCall {
		ptrace(unix.PTRACE_INTERRUPT, b.tid, 0, 0)
		ptrace(unix.PTRACE_CONT, b.tid, 0, 0)
		b.last = b.wait(b.tid, 0) // for as long as it takes: its registers are with us
	}
	var s unix.Signal
	if b.last.kind == bySignal {
		s = b.last.signal
	}
	if s == unix.SIGSYS && b.changed {
		s = 0 // our call was caught by syscall user dispatch: prctl(2)
	}
	switch {
	case b.hold.ended && !b.interrupts(s):
		r := b.hold.again()
		r.put(b.tid)
	case b.changed:
		r := b.hold.back(s, b.caught)
		r.put(b.tid)
	}
	ptrace(unix.PTRACE_DETACH, b.tid, 0, uintptr(s))
}

// interrupts reports whether a handler is about to run, so that the program
// expects its call to end. A signal that comes in the microseconds between this
// and the end of the burst has its handler run, and the call is made again.
func (b *burst) interrupts(s unix.Signal) bool {
	now, errno := b.proc.status(b.pid, b.tid)
	if s != 0 {
		now.pending |= 1 << (s - 1)
		now.blocked &^= 1 << (s - 1)
	}
	return errno != 0 || now.pending&^now.blocked&now.caught != 0
}

// refusal puts in words what was in the way.
func (b *burst) refusal(err error) error {
	switch err {
	case nil:
		return nil
	case errBits:
		return b.narrow()
	case errMode:
		return refuse(restart, "process %d is in the strict mode of seccomp, which would kill it", b.pid)
	case errUnread:
		return refuse("run as root of the host, outside of any container with a seccomp profile", "the seccomp filters of process %d cannot be read", b.pid)
	case errFiltered:
		return refuse(restart, "a seccomp filter of process %d does not let waitid pass: it answers %#x", b.pid, b.answered)
	case errStrange:
		return refuse(restart, "waitid in process %d failed: %v", b.pid, unix.Errno(-b.result))
	case errCritical:
		b.why = refuse("try again when it is less busy", "process %d computes, and is in a restartable sequence (rseq) each time", b.pid)
	}
	return nil
}
