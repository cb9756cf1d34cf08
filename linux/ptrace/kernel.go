package ptrace

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptrace makes the call without a word to Go's scheduler: nothing runs beside a burst.
func ptrace(request, tid int, addr, data uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0)
	return errno
}

// ptraceN is a request that returns a number and writes to data.
func ptraceN(request, tid int, addr uintptr, data unsafe.Pointer) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, uintptr(data), 0, 0)
	return int(n), errno
}

// registers asks for the registers; not ok for a thread whose registers are others than ours, as 32-bit code's are.
func (r *registers) get(tid int) (ok bool, errno unix.Errno) {
	v := unix.Iovec{Base: (*byte)(unsafe.Pointer(&r.PtraceRegs)), Len: uint64(unsafe.Sizeof(r.PtraceRegs))}
	_, errno = ptraceN(unix.PTRACE_GETREGSET, tid, unix.NT_PRSTATUS, unsafe.Pointer(&v))
	return v.Len == uint64(unsafe.Sizeof(r.PtraceRegs)) && r.native(), errno
}

func (r *registers) put(tid int) unix.Errno {
	v := unix.Iovec{Base: (*byte)(unsafe.Pointer(&r.PtraceRegs)), Len: uint64(unsafe.Sizeof(r.PtraceRegs))}
	_, errno := ptraceN(unix.PTRACE_SETREGSET, tid, unix.NT_PRSTATUS, unsafe.Pointer(&v))
	return errno
}

// peek reads a word of the thread's memory; the word may begin at any address.
func peek(tid int, addr uint64) (word uint64, errno unix.Errno) {
	_, errno = ptraceN(unix.PTRACE_PEEKDATA, tid, uintptr(addr), unsafe.Pointer(&word))
	return word, errno
}

// peekAt reads the memory of a thread that is not stopped.
//
// Source: process_vm_readv(2).
func peekAt(tid int, addr uint64, to unsafe.Pointer, size uintptr) error {
	local := []unix.Iovec{{Base: (*byte)(to), Len: uint64(size)}}
	n, err := unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: int(size)}}, 0)
	if err == nil && n != int(size) {
		err = unix.EFAULT
	}
	return err
}

// A stop is why a thread stopped.
type stop struct {
	kind   int
	signal unix.Signal // which comes, for bySignal; which stopped all threads, for byGroup
}

const (
	gone        = iota // it is dead, or not ours any more
	late               // it did not stop in time
	byInterrupt        // PTRACE_EVENT_STOP, as we asked
	byGroup            // PTRACE_EVENT_STOP of a stopped process
	bySignal           // a signal is about to be delivered
	byCall             // at the entry or the exit of a system call
	byOther
)

// spins are how often a stop is asked for before the first sleep. On two
// processors under load 20 take half of the time that 200 take.
const spins = 20

// wait waits for the next stop, for at most limit unless that is 0.
//
// A stop comes within some microseconds, so it is asked for some times at once. Then
// we sleep: on a busy machine the thread may need our processor to stop at all.
func wait(tid int, limit time.Duration) stop {
	began := time.Now()
	nap := unix.Timespec{Nsec: 20_000}
	for i := 0; ; i++ {
		var status int32
		got, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(tid), uintptr(unsafe.Pointer(&status)), unix.WNOHANG|unix.WALL, 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return stop{kind: gone}
		case int(got) == tid:
			return stopOf(uint32(status))
		}
		if i < spins {
			continue
		}
		if limit != 0 && time.Since(began) > limit {
			return stop{kind: late}
		}
		unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&nap)), 0, 0)
		if nap.Nsec < 1_000_000 {
			nap.Nsec += nap.Nsec / 8
		}
	}
}

// stopOf reads a wait status.
//
// Source: ptrace(2), "Stopped states".
func stopOf(status uint32) stop {
	if status&0xff != 0x7f {
		return stop{kind: gone}
	}
	signal, event := unix.Signal(status>>8&0xff), status>>16
	switch {
	case event == unix.PTRACE_EVENT_STOP && signal == unix.SIGTRAP:
		return stop{kind: byInterrupt}
	case event == unix.PTRACE_EVENT_STOP:
		return stop{byGroup, signal}
	case event != 0:
		return stop{kind: byOther}
	case signal == unix.SIGTRAP|0x80: // PTRACE_O_TRACESYSGOOD
		return stop{kind: byCall}
	}
	return stop{bySignal, signal}
}
