package pid1

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// Numbers that package syscall lacks; the same on every architecture.
const (
	sysPidfdSendSignal = 424
	sysPidfdOpen       = 434
)

// A target is a process that may end at any time and whose number may be given
// out again: behind a pidfd where the kernel has that (5.3), else a number and a start time.
type target struct {
	pid   int
	fd    int // -1: none
	start string
}

func aim(pid int) target {
	t := target{pid: pid, fd: -1}
	if pid <= 0 {
		return t
	}
	if fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0); errno == 0 {
		t.fd = int(fd)
		return t
	}
	if p, ok := readProcess(pid); ok {
		t.start = p.start
	}
	return t
}

// lives reports whether the process has not ended. One that ended counts as
// gone, reaped or not.
func (t target) lives() bool {
	if t.pid <= 0 || syscall.Kill(t.pid, 0) == syscall.ESRCH {
		return false
	}
	if t.fd >= 0 {
		return !t.ended(0)
	}
	p, ok := readProcess(t.pid)
	return !ok || p.start == t.start && p.state != 'Z' // without /proc, the number is all
}

// ended waits for the end through the pidfd, for a time.
func (t target) ended(d time.Duration) bool {
	poll := struct {
		fd      int32
		events  int16
		revents int16
	}{int32(t.fd), 1, 0} // POLLIN
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&ts)), 0, 8, 0)
	return errno == 0 && n == 1
}

// signal sends a signal to the process, or to its group if that is wanted.
func (t target) signal(sig syscall.Signal, group bool) {
	switch {
	case !t.lives():
	case group:
		syscall.Kill(-t.pid, sig)
	case t.fd >= 0:
		syscall.Syscall6(sysPidfdSendSignal, uintptr(t.fd), uintptr(sig), 0, 0, 0, 0)
	default:
		syscall.Kill(t.pid, sig)
	}
}

// step is the longest time between two looks at what nobody tells us.
const step = 20 * time.Millisecond

// wait waits until the process is gone, the time is over, or another stop signal
// comes, and reports which.
func (t target) wait(end time.Time, again <-chan os.Signal) (gone, more bool) {
	for t.lives() {
		select {
		case <-again:
			return false, true
		default:
		}
		left := time.Until(end)
		if left <= 0 {
			return false, false
		}
		if t.fd >= 0 {
			t.ended(min(left, step))
		} else {
			time.Sleep(min(left, step/4))
		}
	}
	return true, false
}
