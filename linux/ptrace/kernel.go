package ptrace

import (
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
