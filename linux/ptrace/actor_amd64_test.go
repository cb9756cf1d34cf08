package ptrace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A board is memory that a target shares with its test.
type board struct {
	pid     int64 // of the target, as its test sees it
	stop    int64 // the target ends with endCode when its call returns
	calls   int64 // that returned
	eintr   int64 // of those
	early   int64 // before their timeout
	wrong   int64 // with another result
	result  int64 // the last one of those
	longest int64 // ns
	free    int64 // the target may make more children
	signals int64 // that came to a Go target
}

const endCode = 42

func (b *board) get(field *int64) int64 { return atomic.LoadInt64(field) }

func mapBoard(f *os.File) (*board, error) {
	page, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*board)(unsafe.Pointer(&page[0])), nil
}

// finite is the timeout of the calls that have one.
const finite = 100_000_000 // ns

// A script is what a target does: the same call again and again.
type script struct {
	nr      uintptr
	args    [6]uintptr
	want    int64 // result, of a call that has a timeout
	timed   bool
	refresh *unix.Timeval // the kernel writes to it
	busy    bool
	waiter  bool
	mask    uint64 // signals blocked
	filter  []insn // its seccomp filter
	strict  bool   // it is in the strict mode of seccomp
}

const rseqSignature = 0x53053053

var keep []any // what scripts point to

// scripts are the targets of one thread, by name.
func scripts(name string) (s script, err error) {
	ts := &unix.Timespec{Nsec: finite}
	word, event := new(uint32), new(unix.EpollEvent)
	mask := new(uint64)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return s, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return s, err
	}
	unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, pipe[0], &unix.EpollEvent{Events: unix.EPOLLIN})
	keep = append(keep, ts, word, event, mask)
	forever := ^uintptr(0)
	switch name {
	case "epoll":
		s = script{nr: unix.SYS_EPOLL_WAIT, args: [6]uintptr{uintptr(ep), uintptr(unsafe.Pointer(event)), 1, forever}}
	case "epoll-timed":
		s = script{nr: unix.SYS_EPOLL_WAIT, args: [6]uintptr{uintptr(ep), uintptr(unsafe.Pointer(event)), 1, finite / 1e6}, timed: true}
	case "epoll_pwait-timed":
		s = script{nr: unix.SYS_EPOLL_PWAIT, args: [6]uintptr{uintptr(ep), uintptr(unsafe.Pointer(event)), 1, finite / 1e6, uintptr(unsafe.Pointer(mask)), 8}, timed: true}
	case "nanosleep":
		s = script{nr: unix.SYS_NANOSLEEP, args: [6]uintptr{uintptr(unsafe.Pointer(ts))}, timed: true}
	case "clock_nanosleep":
		s = script{nr: unix.SYS_CLOCK_NANOSLEEP, args: [6]uintptr{unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(ts))}, timed: true}
	case "read":
		s = script{nr: unix.SYS_READ, args: [6]uintptr{uintptr(pipe[0]), uintptr(unsafe.Pointer(word)), 1}}
	case "futex":
		s = script{nr: unix.SYS_FUTEX, args: [6]uintptr{uintptr(unsafe.Pointer(word)), 128}}
	case "futex-timed":
		s = script{nr: unix.SYS_FUTEX, args: [6]uintptr{uintptr(unsafe.Pointer(word)), 128, 0, uintptr(unsafe.Pointer(ts))}, want: -int64(unix.ETIMEDOUT), timed: true}
	case "poll":
		s = script{nr: unix.SYS_POLL, args: [6]uintptr{0, 0, forever}}
	case "poll-timed":
		s = script{nr: unix.SYS_POLL, args: [6]uintptr{0, 0, finite / 1e6}, timed: true}
	case "select-timed":
		left := new(unix.Timeval)
		s = script{nr: unix.SYS_SELECT, args: [6]uintptr{0, 0, 0, 0, uintptr(unsafe.Pointer(left))}, timed: true, refresh: left}
	case "pause":
		s = script{nr: unix.SYS_PAUSE}
	case "sigsuspend":
		s = script{nr: unix.SYS_RT_SIGSUSPEND, args: [6]uintptr{uintptr(unsafe.Pointer(mask)), 8}, mask: 1 << (unix.SIGUSR1 - 1)}
	case "sigwaitinfo":
		*mask = 1 << (unix.SIGUSR2 - 1)
		s = script{nr: unix.SYS_RT_SIGTIMEDWAIT, args: [6]uintptr{uintptr(unsafe.Pointer(mask)), 0, 0, 8}, mask: *mask}
	case "sigtimedwait":
		*mask = 1 << (unix.SIGUSR2 - 1)
		s = script{nr: unix.SYS_RT_SIGTIMEDWAIT, args: [6]uintptr{uintptr(unsafe.Pointer(mask)), 0, uintptr(unsafe.Pointer(ts)), 8}, want: -int64(unix.EAGAIN), timed: true, mask: *mask}
	case "busy", "waiter":
		s = script{busy: name == "busy", waiter: name == "waiter"}
	case "flock":
		s = script{nr: unix.SYS_FLOCK, args: [6]uintptr{lockedFile(), unix.LOCK_EX}}
	default:
		return s, errors.New("no such target")
	}
	return s, nil
}

// lockedFile is a file that another descriptor of this process has locked.
func lockedFile() uintptr {
	f, err := os.CreateTemp("", "sexton-test-")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	keep = append(keep, f)
	unix.Flock(int(f.Fd()), unix.LOCK_EX)
	other, _ := unix.Open(f.Name(), unix.O_RDWR|unix.O_CLOEXEC, 0)
	return uintptr(other)
}

// actor plays a target: "NAME,CHILDREN,MORE". Descriptor 3 is its board.
func actor(role string) error {
	words := strings.Split(role, ",")
	name, more := words[0], words[2]
	children, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	unix.CloseOnExec(3)
	b, err := mapBoard(os.NewFile(3, "board"))
	if err != nil {
		return err
	}
	if name == "go" {
		return goTarget(b, children, more == "half")
	}
	s, err := scripts(name)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := s.add(more); err != nil {
		return err
	}
	if err := dropRestart(); err != nil {
		return err
	}
	pid, errno := fork(&s, b, children)
	if errno != 0 {
		return errno
	}
	atomic.StoreInt64(&b.pid, int64(pid))
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(int(pid), &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || got != int(pid) {
			return fmt.Errorf("wait: %d, %v", got, err)
		}
		if ws.Signaled() {
			return fmt.Errorf("it died of %v", ws.Signal())
		}
		os.Exit(ws.ExitStatus())
	}
}

// add adds something that gets in the way.
func (s *script) add(more string) error {
	waitid := func(answer uint32) []insn {
		return []insn{{0x20, 0, 0, 0}, {0x15, 0, 1, unix.SYS_WAITID}, {0x06, 0, 0, answer}, {0x06, 0, 0, unix.SECCOMP_RET_ALLOW}}
	}
	switch more {
	case "":
	case "log":
		s.filter = waitid(unix.SECCOMP_RET_LOG)
	case "errno":
		s.filter = waitid(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	case "kill":
		s.filter = waitid(unix.SECCOMP_RET_KILL_PROCESS)
	case "notify":
		s.filter = waitid(unix.SECCOMP_RET_USER_NOTIF)
	case "strict":
		s.strict = true
	case "rseq": // an area for restartable sequences, inherited by fork
		area := new([32]byte)
		keep = append(keep, area)
		at := uintptr(unsafe.Pointer(area))
		if _, _, errno := unix.RawSyscall6(unix.SYS_RSEQ, at, 32, 0, rseqSignature, 0, 0); errno != 0 && errno != unix.EINVAL { // the C library has one, with the race detector
			return errno
		}
	default:
		return errors.New("no such obstacle")
	}
	return nil
}

type action struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// dropRestart has SIGUSR1 end system calls with EINTR; Go's handler does nothing else.
func dropRestart() error {
	var a action
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGUSR1), 0, uintptr(unsafe.Pointer(&a)), 8, 0, 0); errno != 0 {
		return errno
	}
	a.flags &^= 0x10000000 // SA_RESTART
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGUSR1), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// fork makes the target: process 1 of a PID namespace, with this thread alone.
// It runs no more than this and play: there is no Go scheduler in it.
//
//go:norace
func fork(s *script, b *board, children int) (uintptr, syscall.Errno) {
	all, none := ^uint64(0), uint64(0)
	var default_ action
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, 8, 0, 0)
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|unix.CLONE_NEWPID, 0, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
		return pid, errno
	}
	unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&default_)), 0, 8, 0, 0)
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&s.mask)), 0, 8, 0, 0)
	for i := 0; i < children; i++ {
		child, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if child != 0 {
			if s.waiter {
				unix.RawSyscall6(unix.SYS_WAIT4, child, 0, 0, 0, 0, 0)
			}
			continue
		}
		if s.waiter { // an orphan
			if child, _, _ = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); child == 0 {
				nap()
			}
		}
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(i), 0, 0)
	}
	if len(s.filter) > 0 {
		fprog := struct {
			n     uint16
			insns *insn
		}{uint16(len(s.filter)), &s.filter[0]}
		unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0, 0)
	}
	if s.strict {
		unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_STRICT, 0, 0, 0, 0)
	}
	switch {
	case s.busy:
		compute(b)
	case s.waiter:
		waitOften(b)
	default:
		play(s, b)
	}
	return 0, 0
}

//go:norace
//go:nosplit
func nap() {
	ts := unix.Timespec{Nsec: 2_000_000}
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// waitOften makes children and waits for each of them, by its pid: none of their
// statuses may be lost.
//
//go:norace
//go:nosplit
func waitOften(b *board) {
	for atomic.LoadInt64(&b.free) == 0 {
		nap()
	}
	for i := uintptr(1); b.stop == 0; i++ {
		child, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if child == 0 {
			nap()
			unix.RawSyscall(unix.SYS_EXIT_GROUP, i, 0, 0)
		}
		var status int32
		got, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, child, uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
		if errno == unix.EINTR { // SIGUSR1, to end
			continue
		}
		if got != child || status != int32(i&0xff)<<8 {
			b.wrong++
			b.result = int64(got)
		}
		b.calls++
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, endCode, 0, 0)
}

//go:norace
//go:nosplit
func play(s *script, b *board) {
	var from, to unix.Timespec
	for b.stop == 0 {
		if s.refresh != nil {
			s.refresh.Sec, s.refresh.Usec = 0, finite/1000
		}
		if s.timed {
			unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&from)), 0)
		}
		r, _, errno := unix.RawSyscall6(s.nr, s.args[0], s.args[1], s.args[2], s.args[3], s.args[4], s.args[5])
		if s.timed {
			unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&to)), 0)
		}
		took := (to.Sec-from.Sec)*1e9 + to.Nsec - from.Nsec
		result := int64(r)
		if errno != 0 {
			result = -int64(errno)
		}
		switch {
		case errno == unix.EINTR:
			b.eintr++
		case !s.timed || result != s.want:
			b.wrong++
			b.result = result
		case took < finite-1_000_000: // the kernel counts some timeouts in milliseconds
			b.early++
		case took > b.longest:
			b.longest = took
		}
		b.calls++
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, endCode, 0, 0)
}

// compute works in registers alone, and finds out if one of them changes.
//
//go:norace
//go:nosplit
func compute(b *board) {
	var first uint64
	for round := 0; atomic.LoadInt64(&b.stop) == 0; round++ {
		x, y, z := uint64(1), uint64(2), uint64(3)
		for i := 0; i < 1000; i++ {
			x = x*6364136223846793005 + 1442695040888963407
			y = y ^ x>>7 + z
			z = z*y | 1
		}
		sum := x ^ y ^ z
		if round == 0 {
			first = sum
		}
		if sum != first {
			b.wrong++
		}
		b.calls++
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, endCode, 0, 0)
}
