package ptrace

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A waiter waits for the stops of what its thread traces. It sleeps in wait4, which the
// kernel ends with the stop itself: to ask again and again takes twice as long. A timer
// of the thread ends it after the limit.
type waiter struct{ timer int32 }

// again is how long after an alarm the next one comes: one may be there before the wait is.
const again = 10 * time.Millisecond

// newWaiter is for the thread that calls it, which must not change. SIGALRM ends system
// calls from then on in this process, where Go would have them begin anew.
//
// Source: timer_create(2), sigaction(2); Linux 6.12 include/uapi/asm-generic/siginfo.h.
func newWaiter() (*waiter, error) {
	var action struct{ handler, flags, restorer, mask uint64 } // the kernel's, on 64-bit machines
	const restart = 0x10000000                                 // SA_RESTART
	sigaction := func(set, get unsafe.Pointer) unix.Errno {
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGALRM), uintptr(set), uintptr(get), unsafe.Sizeof(action.mask), 0, 0)
		return errno
	}
	if errno := sigaction(nil, unsafe.Pointer(&action)); errno != 0 {
		return nil, errno
	}
	action.flags &^= restart
	if errno := sigaction(unsafe.Pointer(&action), nil); errno != 0 {
		return nil, errno
	}
	event := struct {
		value               uint64
		signal, notify, tid int32
		_                   [44]byte
	}{signal: int32(unix.SIGALRM), notify: 4 /* SIGEV_THREAD_ID */, tid: int32(unix.Gettid())}
	var w waiter
	if _, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&w.timer))); errno != 0 {
		return nil, errno
	}
	return &w, nil
}

func (w *waiter) close() { unix.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(w.timer), 0, 0) }

// alarm has the first alarm come after this time; 0: none comes.
func (w *waiter) alarm(after time.Duration) {
	at := struct{ every, first unix.Timespec }{unix.NsecToTimespec(int64(again)), unix.NsecToTimespec(int64(after))}
	unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(w.timer), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
}

// awake has idle processors wait for work without sleep until it is undone, where that
// may be asked for. Each stop wakes one, which takes longer than all the rest: in a virtual
// machine with nothing else to do twice as long.
//
// Source: Linux 6.12 Documentation/power/pm_qos_interface.rst.
func awake() (undo func()) {
	f, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0)
	if err != nil {
		return func() {}
	}
	_, _ = f.Write(make([]byte, 4)) // 0 us, for as long as it is open
	return func() { f.Close() }
}

// wait waits for the next stop of a thread, for at most limit unless that is 0.
func (w *waiter) wait(tid int, limit time.Duration) stop {
	began := time.Now()
	if limit != 0 {
		w.alarm(limit)
		defer w.alarm(0)
	}
	for {
		var status int32
		_, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(tid), uintptr(unsafe.Pointer(&status)), unix.WALL, 0, 0, 0)
		switch {
		case errno == 0:
			return stopOf(uint32(status))
		case errno != unix.EINTR:
			return stop{kind: gone}
		case limit != 0 && time.Since(began) >= limit:
			return stop{kind: late}
		}
	}
}
