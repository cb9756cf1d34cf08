// Package pidfd signals a process that cannot be mistaken for another.
//
// A pid is used again. A descriptor of the process is not: it is opened first,
// then the start time behind the pid is compared with the one that the caller
// saw, and the signal goes to the descriptor. It takes Linux 5.3: before that
// nothing is signalled at all.
package pidfd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/procfs"
)

var (
	// ErrGone is the error of a process that has ended, whoever has its pid now.
	ErrGone = errors.New("the process has ended")
	// ErrRefused is the error of a process that is there, in a state in which the
	// signal would do nothing or harm. Nothing was sent.
	ErrRefused = errors.New("not signalled")
	// ErrTooOld is the error of a kernel without descriptors of processes.
	ErrTooOld = errors.New("this kernel has no pidfd_open (Linux 5.3)")
)

// A Process is one process. It is used by one goroutine at a time.
type Process struct {
	pid   int
	start uint64 // clock ticks after boot
	fd    int
}

// Open returns the process with this pid and start time, in clock ticks after
// boot as [procfs.Stat] has it. The caller closes it. Errors wrap [ErrGone] if the
// pid is nobody's or another's by now, and [ErrTooOld] before Linux 5.3.
//
// It needs no capability, but where /proc is mounted with hidepid: CAP_SYS_PTRACE.
//
// Source: pidfd_open(2).
func Open(pid int, start uint64) (*Process, error) {
	if pid < 1 {
		return nil, fmt.Errorf("pid %d: %w: one process has a number from 1 on", pid, ErrRefused)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, openError(pid, err)
	}
	p := &Process{pid: pid, start: start, fd: fd}
	if err := p.sameProc(); err != nil {
		p.Close()
		return nil, err
	}
	if _, err := p.stat(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// sameProc makes sure that /proc calls the process by the pid by which it was opened:
// a /proc of another PID namespace would tell of another process.
//
// Source: pidfd_open(2), fdinfo: "Pid", by the namespace of that /proc; -1 if it has ended.
func (p *Process) sameProc() error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", p.fd))
	_, after, _ := strings.Cut(string(text), "\nPid:")
	line, _, _ := strings.Cut(after, "\n")
	switch n, bad := strconv.Atoi(strings.TrimSpace(line)); {
	case err == nil && bad == nil && n == p.pid:
		return nil
	case err == nil && bad == nil && n == -1:
		return fmt.Errorf("pid %d: %w", p.pid, ErrGone)
	}
	return p.refuse("/proc numbers the processes of another PID namespace than sexton's: run sexton in the one of the host, with its /proc")
}

// openError says what an errno of pidfd_open means.
func openError(pid int, err error) error {
	switch err {
	case unix.ESRCH:
		return fmt.Errorf("pid %d: %w", pid, ErrGone)
	case unix.ENOSYS:
		return fmt.Errorf("pid %d: %w: a signal by number could hit another process; send it by hand", pid, ErrTooOld)
	case unix.EPERM: // it asks for no permission
		return fmt.Errorf("pid %d: pidfd_open is forbidden by a filter of system calls: run sexton outside of a container, or with seccomp=unconfined: %w", pid, err)
	case unix.EINVAL, unix.ENOENT: // ENOENT since 6.9
		return fmt.Errorf("pid %d: %w: it is a thread; name the process that it belongs to", pid, ErrRefused)
	}
	return fmt.Errorf("pid %d: pidfd_open: %w", pid, err)
}

// Close lets go of the process.
func (p *Process) Close() { unix.Close(p.fd) }

// Resume sends SIGCONT, if the process is stopped (state T), no debugger has it, and
// its first thread has not run since it was seen: that has as many context switches,
// of both kinds, as then. One in a frozen cgroup runs on when that is thawed.
//
// It needs CAP_KILL over the process's user namespace, or the process's own uid.
func (p *Process) Resume(ctx context.Context, switches uint64) error {
	stat, status, err := p.now()
	switch {
	case err != nil:
		return err
	case status.Tracer != 0:
		return p.refuse("pid %d traces it: detach that debugger, SIGCONT would not let it run on", status.Tracer)
	case stat.State != 'T':
		return p.refuse("it is in state %c, not stopped (T): there is nothing to resume", stat.State)
	case status.Switches() != switches:
		return p.refuse("it has run since it was seen: somebody stops it and lets it run on; plan again: sexton heal")
	}
	return p.send(ctx, unix.SIGCONT)
}

// Nudge sends SIGCHLD, if the process has a handler for it: one that missed the
// signal waits for its children at the next. Whoever has no handler does not
// notice; so one is refused, and so is one that is stopped.
//
// It needs CAP_KILL over the process's user namespace, or the process's own uid.
func (p *Process) Nudge(ctx context.Context) error {
	stat, status, err := p.now()
	const bit = 1 << (unix.SIGCHLD - 1)
	switch {
	case err != nil:
		return err
	case stat.State == 'T' || stat.State == 't':
		return p.refuse("it is stopped (state %c) and takes no signal: resume it first", stat.State)
	case status.SigCgt&bit == 0:
		return p.refuse("it has no handler for SIGCHLD and would not notice: restart it with an init that reaps as its parent")
	case status.SigBlk&bit != 0:
		return p.refuse("it blocks SIGCHLD: its handler would not run")
	}
	return p.send(ctx, unix.SIGCHLD)
}

// Dump sends SIGUSR1, at which container daemons write down what their goroutines do.
// It kills whoever has no handler for it, so one without is refused; so is one that is
// stopped, which would act on it when it goes on. That the handler is one that dumps is
// for the caller to know.
//
// It needs CAP_KILL over the process's user namespace, or the process's own uid.
func (p *Process) Dump(ctx context.Context) error {
	stat, status, err := p.now()
	const bit = 1 << (unix.SIGUSR1 - 1)
	switch {
	case err != nil:
		return err
	case status.SigCgt&bit == 0:
		return p.refuse("it has no handler for SIGUSR1, which would kill it")
	case stat.State == 'T' || stat.State == 't':
		return p.refuse("it is stopped (state %c) and writes no dump before it goes on: sexton heal resumes it, or kill -CONT %d", stat.State, p.pid)
	}
	return p.send(ctx, unix.SIGUSR1)
}

// now reads how the process is, and fails if the pid is not its any more.
func (p *Process) now() (stat procfs.Stat, status procfs.Status, err error) {
	if stat, err = p.stat(); err == nil {
		status, err = p.status()
	}
	return stat, status, err
}

// stat reads the process's state and fails if the pid is not its any more. What it
// returns is true of the descriptor's process: one that had the pid before the
// start time was the caller's had ended before the caller saw that time.
func (p *Process) stat() (procfs.Stat, error) {
	text, err := p.read("stat")
	if err != nil {
		return procfs.Stat{}, err
	}
	stat, err := procfs.ParseStat(text)
	switch {
	case err != nil:
		return stat, fmt.Errorf("pid %d: %w", p.pid, err)
	case stat.Start != p.start:
		return stat, fmt.Errorf("pid %d: %w: the one that has the number now started at tick %d, not %d; scan again", p.pid, ErrGone, stat.Start, p.start)
	case stat.State == 'Z' || stat.State == 'X':
		return stat, fmt.Errorf("pid %d: %w: it is a zombie; its parent, pid %d, has to wait for it", p.pid, ErrGone, stat.PPID)
	}
	return stat, nil
}

func (p *Process) status() (procfs.Status, error) {
	text, err := p.read("status")
	if err != nil {
		return procfs.Status{}, err
	}
	status, err := procfs.ParseStatus(text)
	if err != nil {
		return status, fmt.Errorf("pid %d: %w", p.pid, err)
	}
	return status, nil
}

// read reads a file of the process that does not wait for its mmap_lock.
func (p *Process) read(name string) ([]byte, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, name))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("pid %d: %w", p.pid, ErrGone)
	}
	return text, err
}

func (p *Process) refuse(format string, args ...any) error {
	return fmt.Errorf("pid %d: %w: %s", p.pid, ErrRefused, fmt.Sprintf(format, args...))
}

// send signals the descriptor's process, unless the time for it is over.
//
// Source: pidfd_send_signal(2).
func (p *Process) send(ctx context.Context, signal unix.Signal) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("pid %d: %w: %w", p.pid, ErrRefused, err)
	}
	switch err := unix.PidfdSendSignal(p.fd, signal, nil, 0); err {
	case nil:
		return nil
	case unix.ESRCH:
		return fmt.Errorf("pid %d: %w", p.pid, ErrGone)
	case unix.EPERM:
		return fmt.Errorf("pid %d: %v is not permitted: run sexton as root, in a container with CAP_KILL: %w", p.pid, signal, err)
	default:
		return fmt.Errorf("pid %d: pidfd_send_signal %v: %w", p.pid, signal, err)
	}
}
