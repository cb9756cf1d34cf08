package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/procfs"
)

// prefix begins the name of every process of a fault, as ps shows it.
const prefix = "sexton-lab:"

// errGone means that the process with this identity does not exist any more.
var errGone = errors.New("gone")

func (p Process) String() string { return fmt.Sprintf("%s (pid %d)", p.Role, p.PID) }

// readStat reads /proc/PID/stat, which never blocks. A pid that does not exist
// gives errGone.
func readStat(pid int) (procfs.Stat, error) {
	text, err := os.ReadFile(procPath(pid, "stat"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return procfs.Stat{}, errGone
	}
	if err != nil {
		return procfs.Stat{}, err
	}
	return procfs.ParseStat(text)
}

func readStatus(pid int) (procfs.Status, error) {
	text, err := os.ReadFile(procPath(pid, "status"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return procfs.Status{}, errGone
	}
	if err != nil {
		return procfs.Status{}, err
	}
	return procfs.ParseStatus(text)
}

func procPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// dead says that the whole process has ended, waited for or not. A leader that
// is dead while other threads live is not.
func dead(s procfs.Stat) bool {
	return s.State == 'X' || s.State == 'x' || s.State == 'Z' && s.Threads <= 1
}

// identify gives the identity of a living process that the caller is sure of:
// its child, or one that waits for it.
func identify(role string, pid int) (Process, error) {
	s, err := readStat(pid)
	if err != nil {
		return Process{}, fmt.Errorf("%s (pid %d): %w", role, pid, err)
	}
	if dead(s) {
		return Process{}, fmt.Errorf("%s (pid %d) is dead", role, pid)
	}
	return Process{Role: role, PID: pid, Start: s.Start, Comm: s.Comm}, nil
}

// alive says that this very process lives, and its name of now. One that
// cannot be read lives, to be safe.
func (p Process) alive() (comm string, ok bool) {
	s, err := readStat(p.PID)
	if err != nil {
		return p.Comm, !errors.Is(err, errGone)
	}
	return s.Comm, s.Start == p.Start && !dead(s)
}

// A handle is a pidfd of a process whose identity was checked.
type handle struct {
	Process
	fd int
}

// open returns a handle, errGone if the process is dead or its pid is another's.
func (p Process) open() (handle, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: the number is now a thread's
		return handle{}, errGone
	}
	if err != nil {
		return handle{}, fmt.Errorf("pidfd_open %v: %w", p, err)
	}
	// Read after opening: the descriptor keeps to the process that it was opened
	// for, so if this one has the right start time and it still exists below, it is it.
	s, err := readStat(p.PID)
	if err == nil && (s.Start != p.Start || dead(s)) {
		err = errGone
	}
	h := handle{p, fd}
	if err == nil && h.ended(0) {
		err = errGone
	}
	if err != nil {
		h.close()
		return handle{}, err
	}
	return h, nil
}

func (h handle) close() { unix.Close(h.fd) }

// ended waits for the process to be dead as a whole, its PID namespace too if
// it is the first of one: pidfd_poll, Linux 5.3 kernel/fork.c, tells after
// zap_pid_ns_processes.
func (h handle) ended(wait time.Duration) bool {
	deadline := time.Now().Add(wait)
	for {
		left := max(0, time.Until(deadline))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) && time.Now().After(deadline) {
			return false
		}
	}
}

// signal sends a signal if the process looks like one of the lab's, whatever the
// state file says: the first of a deeper PID namespace, or one with the lab's name.
func (h handle) signal(sig unix.Signal) error {
	s, err := readStat(h.PID)
	if err != nil {
		return gone(err)
	}
	st, err := readStatus(h.PID)
	if err != nil {
		return gone(err)
	}
	if !strings.HasPrefix(s.Comm, prefix) && !(h.Role == roleInit && firstInside(st)) {
		return fmt.Errorf("%v is named %q and does not look like a process of the lab: not signalled", h.Process, s.Comm)
	}
	if err := unix.PidfdSendSignal(h.fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %v to %v: %w", sig, h.Process, err)
	}
	return nil
}

// firstInside says that a process is the first of a PID namespace inside of ours.
func firstInside(s procfs.Status) bool {
	return len(s.NSpid) > 1 && s.NSpid[len(s.NSpid)-1] == 1
}

// gone turns errGone into success.
func gone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// everyProcess calls f for each process of the caller's PID namespace; one that
// ends meanwhile is left out.
func everyProcess(f func(procfs.Stat)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return err
		}
		f(s)
	}
	return nil
}

// children returns the processes whose parent is pid.
func children(pid int) ([]procfs.Stat, error) {
	var out []procfs.Stat
	err := everyProcess(func(s procfs.Stat) {
		if s.PPID == pid {
			out = append(out, s)
		}
	})
	return out, err
}
