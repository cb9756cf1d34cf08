// Package blackbox runs inits as containers do, and says how they behave: ours in
// each of its forms and dialects, the programs that it stands in for, and broken
// ones that must fail.
package blackbox

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A launch is what an init finds when it begins.
type launch struct {
	Argv     []string
	Env      []string
	NotOne   bool   // run it as a child of process 1 of the namespace
	Ignored  []int  // signals that are ignored
	Blocked  []int  // signals that are blocked
	Closed   []int  // descriptors that are closed
	Open     []int  // descriptors that are open besides
	UID      int    // who it is; 0: root
	NoPrivs  bool   // no new privileges
	NoProc   bool   // /proc is empty
	ReadOnly bool   // the root cannot be written
	Root     string // chroot there
	Dir      string
	Forbid   []int // system calls that fail with EPERM
	Tell     bool  // descriptor 3 is closed when the init is executed
	TTY      bool  // stdin, stdout and stderr are a terminal, which it leads
	Adopts   bool  // it is a subreaper already
	Emulated bool  // arm64 programs run here, in a user namespace
	Mutant   bool  // it is not waited for long
}

// limit bounds the run: a long trial may take long.
func (l *launch) limit() time.Duration {
	if l.Tell {
		return 30 * time.Minute
	}
	if l.Mutant {
		return mutantRun
	}
	return runLimit
}

// atOnce is how many cases run at once for each processor: they mostly wait.
const atOnce = 2

const launchEnv = "BLACKBOX_LAUNCH"

func TestMain(m *testing.M) {
	if text := os.Getenv(launchEnv); text != "" {
		var l launch
		err := json.Unmarshal([]byte(text), &l)
		if err == nil {
			err = l.run()
		}
		fmt.Fprintln(os.Stderr, "launch:", err)
		os.Exit(99)
	}
	flag.Parse()
	flag.Set("test.parallel", strconv.Itoa(atOnce*runtime.GOMAXPROCS(0)))
	os.Exit(m.Run())
}

// run makes the surroundings and executes the init. It is process 1 of a PID
// namespace, in a mount namespace of its own.
func (l *launch) run() error {
	runtime.LockOSThread()
	if err := l.mounts(); err != nil {
		return err
	}
	if l.Root != "" {
		if err := syscall.Chroot(l.Root); err != nil {
			return err
		}
	}
	if err := os.Chdir(l.Dir); err != nil {
		return err
	}
	for _, fd := range l.Open {
		if err := syscall.Dup3(0, fd, 0); err != nil {
			return err
		}
	}
	if l.NoPrivs || len(l.Forbid) > 0 {
		syscall.RawSyscall6(syscall.SYS_PRCTL, 38, 1, 0, 0, 0, 0) // PR_SET_NO_NEW_PRIVS
	}
	if l.UID != 0 {
		syscall.Setgroups(nil)
		if err := syscall.Setresgid(l.UID, l.UID, l.UID); err != nil {
			return err
		}
		if err := syscall.Setresuid(l.UID, l.UID, l.UID); err != nil {
			return err
		}
	}
	if l.Tell {
		syscall.CloseOnExec(3)
	}
	if l.NotOne {
		return l.second()
	}
	return l.exec()
}

func (l *launch) mounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if l.Emulated {
		if err := emulate(); err != nil {
			return err
		}
	}
	what, kind := "proc", "proc"
	if l.NoProc {
		what, kind = "none", "tmpfs"
	}
	if err := syscall.Mount(what, "/proc", kind, 0, ""); err != nil {
		return err
	}
	if l.ReadOnly {
		return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	}
	return nil
}

// second makes the init a child of this process, which leaves as it does.
func (l *launch) second() error {
	text, err := json.Marshal(func() launch { c := *l; c.NotOne, c.Emulated = false, false; return c }())
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	env := []string{launchEnv + "=" + string(text)}
	pid, err := syscall.ForkExec(self, []string{self}, &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return err
	}
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		if err != nil && err != syscall.EINTR {
			return err
		}
		if got == pid && ws.Exited() {
			os.Exit(ws.ExitStatus())
		}
		if got == pid {
			os.Exit(128 + int(ws.Signal()))
		}
	}
}

func (l *launch) exec() error {
	if len(l.Forbid) > 0 {
		if err := forbid(l.Forbid); err != nil {
			return err
		}
	}
	argv, err := syscall.SlicePtrFromStrings(l.Argv)
	if err != nil {
		return err
	}
	env, err := syscall.SlicePtrFromStrings(l.Env)
	if err != nil {
		return err
	}
	var mask uint64
	for _, sig := range l.Blocked {
		mask |= 1 << (sig - 1)
	}
	if l.Adopts {
		syscall.RawSyscall(syscall.SYS_PRCTL, 36, 1, 0) // PR_SET_CHILD_SUBREAPER
	}
	for _, fd := range l.Closed {
		syscall.Close(fd)
	}
	for sig := 1; sig <= 64; sig++ {
		action := struct{ handler, flags, restorer, mask uint64 }{}
		for _, ignored := range l.Ignored {
			if sig == ignored {
				action.handler = 1
			}
		}
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
	for { // while a fork of another test holds open what was just written
		_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(argv[0])),
			uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
		if errno != syscall.ETXTBSY {
			return errno
		}
	}
}

// forbid makes system calls fail with EPERM in this process and its children.
//
// Source: seccomp(2); Linux 6.12 include/uapi/linux/{filter,seccomp}.h.
func forbid(calls []int) error {
	type insn struct {
		code  uint16
		_, jf uint8
		k     uint32
	}
	prog := []insn{{code: 0x20}} // load the number
	for _, nr := range calls {
		prog = append(prog, insn{code: 0x15, jf: 1, k: uint32(nr)}, insn{code: 0x06, k: 0x00050000 | uint32(syscall.EPERM)})
	}
	prog = append(prog, insn{code: 0x06, k: 0x7fff0000})
	fprog := struct {
		n    uint16
		code *insn
	}{uint16(len(prog)), &prog[0]}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, 22, 2, uintptr(unsafe.Pointer(&fprog)), 0, 0, 0) // PR_SET_SECCOMP
	runtime.KeepAlive(prog)
	if errno != 0 {
		return errno
	}
	return nil
}
