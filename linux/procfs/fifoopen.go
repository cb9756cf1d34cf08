package procfs

import "strings"

// A FIFOOpen is the open of a fifo that a thread is blocked in.
type FIFOOpen struct {
	Writes bool // for writing alone; else for reading alone
	Dir    int  // descriptor that the path is relative to, below 0 if it is none
	Held   bool // the thread is stopped or frozen; when it runs again it goes on with this call, of what file is not known
}

// ParseFIFOOpen reports whether a thread waits in open(2) for the other side of a fifo.
// syscall, wchan and stack are the texts of its files below /proc/PID/task/TID; stack
// counts only where wchan is hidden. Whether the file of one that is held is a fifo
// does not show.
//
// Source: proc_pid_syscall(5); Linux 3.10 to 6.18 fs/pipe.c, fifo_open and
// wait_for_partner; kernel/signal.c, do_signal_stop and do_freezer_trap;
// kernel/freezer.c, __refrigerator.
func ParseFIFOOpen(machine string, syscall []byte, wchan, stack string) (o FIFOOpen, ok bool) {
	switch wchan {
	case "wait_for_partner", "fifo_open", "pipe_wait":
	case "do_signal_stop", "do_freezer_trap", "__refrigerator":
		o.Held = true
	case "", "0":
		if !strings.Contains(stack, "wait_for_partner") && !strings.Contains(stack, "fifo_open") {
			return o, false
		}
	default:
		return o, false
	}
	n, running, err := ParseSyscall(syscall)
	if err != nil || running {
		return o, false
	}
	at := 2 // of the flags among the arguments
	switch SyscallName(machine, n) {
	case "open":
		at, o.Dir = 1, -1
	case "openat":
		dir, ok := ParseArgument(syscall, 0)
		if o.Dir = int(int32(dir)); !ok {
			return o, false
		}
	default:
		return o, false
	}
	flags, ok := ParseArgument(syscall, at)
	const readOnly, writeOnly, mode = 0, 1, 3
	o.Writes = flags&mode == writeOnly
	return o, ok && (o.Writes || flags&mode == readOnly)
}
