package ptrace

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	vdsoEntry = 33   // AT_SYSINFO_EHDR, the address of the vdso
	vdsoSize  = 4096 // bytes of its first page, which has the code that falls back to a system call
)

// vdsoCall finds a syscall instruction in the vdso, for a thread that is in no call of its own.
//
// Source: vdso(7), getauxval(3).
func (t *target) vdsoCall(tid int) (uint64, error) {
	text, errno := t.proc.read(t.pid, tid, "auxv")
	if errno != 0 {
		return 0, t.unread(errno)
	}
	var base uint64
	for ; len(text) >= 16; text = text[16:] {
		if binary.LittleEndian.Uint64(text) == vdsoEntry {
			base = binary.LittleEndian.Uint64(text[8:])
		}
	}
	if base == 0 {
		return 0, refuse(restart, "process %d has no vdso", t.pid)
	}
	code := make([]byte, vdsoSize)
	if err := peekAt(tid, base, unsafe.Pointer(&code[0]), vdsoSize); err != nil {
		return 0, fmt.Errorf("read the vdso of process %d: %w", t.pid, err)
	}
	for i := 0; i+8 <= len(code); i++ {
		if isCall(binary.LittleEndian.Uint64(code[i:])) {
			return base + uint64(i), nil
		}
	}
	return 0, refuse(restart, "the vdso of process %d has no system call", t.pid)
}

// inCritical reports whether the thread is in a restartable sequence, which
// would lose its abort; unknown counts as yes.
//
// Source: ptrace(2), PTRACE_GET_RSEQ_CONFIGURATION; rseq(2).
func inCritical(tid int) bool {
	var c struct {
		at                     uint64
		size, sign, flags, pad uint32
	}
	n, errno := ptraceN(unix.PTRACE_GET_RSEQ_CONFIGURATION, tid, unsafe.Sizeof(c), unsafe.Pointer(&c))
	if errno != 0 || n < 8 {
		return true
	}
	if c.at == 0 {
		return false
	}
	sequence, errno := peek(tid, c.at+8) // rseq_cs
	return errno != 0 || sequence != 0
}
