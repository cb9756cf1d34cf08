package ptrace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A target is the parent, pinned: while alive says so, its pid is its own.
type target struct {
	proc  *proc
	dir   string // of /proc
	pid   int
	start uint64
	pidfd int
	depth int // PID namespaces that it is in, from that of /proc on
	known status
	only  int // of the request
}

// pin finds the target of a request and refuses what must not be touched.
func pin(p *proc, q Request) (*target, error) {
	if q.PID <= 1 {
		return nil, refuse(restartAll, "process %d is the first process of the machine, or of sexton's own container", q.PID)
	}
	t := &target{proc: p, dir: q.Proc, pid: q.PID, start: q.Start, only: q.only}
	if err := t.ownNamespace(); err != nil {
		return nil, err
	}
	var err error
	t.pidfd, err = unix.PidfdOpen(q.PID, 0)
	switch err {
	case nil:
	case unix.ENOSYS:
		return nil, refuse(restart, "this kernel has no pidfd_open (Linux 5.3), so nothing keeps the pid from being used again")
	case unix.ESRCH, unix.EINVAL:
		return nil, t.left()
	default:
		return nil, err
	}
	if err := t.check(); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

func (t *target) release() { unix.Close(t.pidfd) }

func (t *target) left() error { return refuse(lookAgain, "process %d has gone", t.pid) }

// unread says why a file of the target was not read.
func (t *target) unread(errno unix.Errno) error {
	switch errno {
	case unix.ENOENT, unix.ESRCH:
		return t.left()
	case unix.EACCES, unix.EPERM:
		return t.forbidden(errno)
	}
	return fmt.Errorf("read /proc/%d: %w", t.pid, errno)
}

// alive reports whether the target has not ended: its pidfd cannot be read from then on.
func (t *target) alive() bool {
	fd, now := unix.PollFd{Fd: int32(t.pidfd), Events: unix.POLLIN}, unix.Timespec{}
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n == 0 && errno == 0
}

// ownNamespace makes sure that pids mean the same in /proc as in a system call.
func (t *target) ownNamespace() error {
	text, err := os.Readlink(filepath.Join(t.dir, "self"))
	self, _ := strconv.Atoi(text)
	if err != nil || self == 0 {
		return refuse("mount a proc file system of sexton's own PID namespace", "%s does not know this process: %v", t.dir, err)
	}
	s, errno := t.proc.status(self, 0)
	if errno != 0 {
		return errno
	}
	if s.depth != 1 || self != os.Getpid() {
		return refuse("run sexton in the PID namespace of the host: docker run --pid=host, hostPID: true", "%s numbers processes of another PID namespace than sexton's", t.dir)
	}
	return nil
}

// check refuses a target that must not be stopped, or cannot.
func (t *target) check() error {
	s, errno := t.proc.stat(t.pid, 0)
	switch {
	case errno != 0:
		return t.unread(errno)
	case s.start != t.start:
		return refuse(lookAgain, "process %d is another one than was found: it started at tick %d, not %d", t.pid, s.start, t.start)
	case s.flags&kernelThread != 0:
		return refuse(restartAll, "process %d is a thread of the kernel", t.pid)
	case (s.state == 'Z' || s.state == 'X') && s.threads <= 1:
		return refuse("look at its own parent: a dead process reaps nobody", "process %d is dead itself", t.pid)
	case s.state == 'T':
		return refuse("send it SIGCONT: then it may reap by itself", "process %d is stopped", t.pid)
	case s.state == 't':
		return refuse("end the debugger and try again", "process %d is stopped by a debugger", t.pid)
	}
	if t.known, errno = t.proc.status(t.pid, 0); errno != 0 {
		return t.unread(errno)
	}
	if t.depth = t.known.depth; t.known.tracer != 0 {
		return t.traced(t.known.tracer)
	}
	if err := t.wide(); err != nil {
		return err
	}
	return t.notFrozen()
}

const kernelThread = 0x00200000 // PF_KTHREAD, include/linux/sched.h

// inD is the call of a thread in state D, which does not stop.
const inD = -2

// notFrozen refuses a target that sleeps in the freezer: it stops only when it is
// thawed. One that version 1 of cgroups froze shows where it was before; it is in D.
//
// Source: Linux 6.12 kernel/freezer.c, kernel/signal.c.
func (t *target) notFrozen() error {
	text, errno := t.proc.read(t.pid, 0, "wchan")
	if errno != 0 {
		return nil // a kernel without: the stop then comes too late
	}
	for _, name := range []string{"__refrigerator", "do_freezer_trap", "get_signal"} {
		if bytes.Equal(text, []byte(name)) {
			return refuse("resume the container (docker unpause), then try again", "process %d is frozen: its container is paused", t.pid)
		}
	}
	return nil
}

// wide refuses 32-bit code, by its auxiliary vector: the first value is not 0, and
// in the place of the upper half of a 64-bit type.
func (t *target) wide() error {
	text, errno := t.proc.read(t.pid, 0, "auxv")
	switch {
	case errno == unix.ESRCH: // its main thread has ended, and has no memory any more
	case errno != 0:
		return t.unread(errno)
	case len(text) >= 16 && binary.LittleEndian.Uint32(text[4:]) != 0:
		return t.narrow()
	}
	return nil
}

func (t *target) traced(by int) error {
	return refuse("end the debugger and try again", "process %d is traced by process %d", t.pid, by)
}

func (t *target) narrow() error { return refuse(restart, "process %d runs 32-bit code", t.pid) }

func (t *target) forbidden(errno unix.Errno) error {
	return refuse("run as root of the host, outside of any user namespace; where AppArmor, SELinux or Yama forbid ptrace, allow it to sexton", "process %d may not be traced: %v", t.pid, errno)
}

// mostThreads are looked at for one that can be borrowed.
const mostThreads = 512

// choose finds the thread that can be borrowed best.
func (t *target) choose() (tid int, at place, err error) {
	at.call = -1
	dir, err := os.Open(filepath.Join(t.dir, strconv.Itoa(t.pid), "task"))
	if err != nil {
		return 0, at, t.left()
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(mostThreads)
	best, other, deep := never, int64(-1), false
	for _, name := range names {
		id, err := strconv.Atoi(name)
		if err != nil || t.only != 0 && id != t.only {
			continue
		}
		p, ok := t.place(id)
		if !ok {
			deep = deep || p.call == inD
			continue
		}
		if p.use() < best {
			tid, at, best = id, p, p.use()
		} else if best == never {
			other = p.call
		}
		if best == harmless {
			break
		}
	}
	switch {
	case best < never:
		return tid, at, nil
	case deep:
		return 0, at, refuse("resume the container if it is paused (docker unpause); else /proc/PID/wchan says what it waits for", "process %d cannot be stopped: it is frozen, or waits for a device (state D)", t.pid)
	}
	return 0, at, refuse(restart, "no thread of process %d can be borrowed: each is in a call that must not be disturbed, as system call %d", t.pid, other)
}

// place says where a thread is; not ok for one that does not stop or has gone.
func (t *target) place(tid int) (p place, ok bool) {
	s, errno := t.proc.stat(t.pid, tid)
	switch {
	case errno != 0:
		return p, false
	case s.state == 'D':
		return place{call: inD}, false
	case s.state != 'S' && s.state != 'R':
		return p, false
	}
	text, errno := t.proc.read(t.pid, tid, "syscall")
	if errno != 0 {
		return p, false
	}
	return parsePlace(text)
}
