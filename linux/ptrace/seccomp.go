package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Filters are the seccomp filters of a thread, in memory that is used again and
// again. The kernel bounds what a thread has to these too: BPF_MAXINSNS, MAX_INSNS_PER_PATH.
type filters struct {
	insns []insn
	ends  []int // where each program ends in insns
	data  callData
}

const (
	mostInsns   = 4096
	mostFilters = 8192 // each counts for 4 instructions more
	mostInAll   = 32768
)

func newFilters() *filters {
	return &filters{insns: make([]insn, 0, mostInAll+mostInsns), ends: make([]int, 0, mostFilters)}
}

// fetch reads the filters of a stopped thread.
//
// Source: ptrace(2), PTRACE_SECCOMP_GET_FILTER: it needs CAP_SYS_ADMIN, a caller
// without a filter of its own, and a kernel with CONFIG_CHECKPOINT_RESTORE.
func (f *filters) fetch(tid int) unix.Errno {
	f.none()
	for {
		n, errno := ptraceN(unix.PTRACE_SECCOMP_GET_FILTER, tid, uintptr(len(f.ends)), nil)
		switch {
		case errno == unix.ENOENT:
			return 0
		case errno != 0:
			return errno
		case n <= 0 || n > mostInsns || len(f.insns) > mostInAll || len(f.ends) == cap(f.ends):
			return unix.E2BIG
		}
		from := len(f.insns)
		f.insns = f.insns[:from+n]
		if _, errno := ptraceN(unix.PTRACE_SECCOMP_GET_FILTER, tid, uintptr(len(f.ends)), unsafe.Pointer(&f.insns[from])); errno != 0 {
			return errno
		}
		f.ends = append(f.ends, len(f.insns))
	}
}

// none forgets what was fetched.
func (f *filters) none() { f.insns, f.ends = f.insns[:0], f.ends[:0] }

// judge makes a call to every filter. It is an error unless each lets it pass
// without a consequence; then answered is what the first one answers that does not.
func (f *filters) judge(nr uint32, ip uint64, args [6]uint64) (answered uint32, err error) {
	f.data.set(nr, ip, args)
	from := 0
	for _, end := range f.ends {
		if answered, err = answer(f.insns[from:end], &f.data); err != nil {
			return 0, err
		}
		if action := answered & unix.SECCOMP_RET_ACTION_FULL; action != unix.SECCOMP_RET_ALLOW && action != unix.SECCOMP_RET_LOG {
			return answered, errFiltered
		}
		from = end
	}
	return 0, nil
}
