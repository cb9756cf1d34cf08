package ptrace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/capability"
)

// refuses proves that an order is refused for this reason, and that no child was touched.
func (r *runningTarget) refuses(i *injection, o order, why string) {
	t := r.t
	t.Helper()
	before := len(r.dead())
	outcomes, end := i.reap(o)
	if end.Refusal == nil || !strings.Contains(end.Error, why) || end.Refusal.Instead == "" {
		t.Errorf("it ended with %q, hint %+v; want %q", end.Error, end.Refusal, why)
	}
	if len(outcomes) != 0 || len(r.dead()) != before {
		t.Errorf("%d of %d children are left; %+v", len(r.dead()), before, outcomes)
	}
}

// A target that is as it should not be.
func TestRefusals(t *testing.T) {
	type row struct {
		name, target, why string
		prepare           func(t *testing.T, r *runningTarget, o *order) // the end of the test undoes it
	}
	rows := []row{
		{"the first process", "futex", "process 1 is the first process", func(_ *testing.T, _ *runningTarget, o *order) { o.PID = 1 }},
		{"no pid", "futex", "process -1 is the first process", func(_ *testing.T, _ *runningTarget, o *order) { o.PID = -1 }},
		{"another process", "futex", "is another one than was found", func(_ *testing.T, _ *runningTarget, o *order) { o.Start++ }},
		{"gone", "futex", "has gone", func(t *testing.T, _ *runningTarget, o *order) {
			c := exec.Command("/bin/true")
			if err := c.Run(); err != nil {
				t.Fatal(err)
			}
			o.PID = c.Process.Pid
		}},
		{"dead itself", "futex", "is dead itself", func(_ *testing.T, r *runningTarget, o *order) { o.PID, o.Start = o.Dead[0].PID, o.Dead[0].Start }},
		{"of the kernel", "futex", "is a thread of the kernel", ofKernel},
		{"stopped", "futex", "is stopped", func(t *testing.T, r *runningTarget, _ *order) {
			unix.Kill(r.pid, unix.SIGSTOP)
			hosttest.Until(t, patience, "it is stopped", func() bool { return r.stat().state == 'T' })
		}},
		{"traced", "futex", "is traced by process", func(t *testing.T, r *runningTarget, _ *order) { trace(t, r, false) }},
		{"in a debugger", "futex", "is stopped by a debugger", func(t *testing.T, r *runningTarget, _ *order) { trace(t, r, true) }},
		{"filter: EPERM", "nanosleep+errno", "does not let waitid pass: it answers 0x50001", nil},
		{"filter: kill", "nanosleep+kill", "does not let waitid pass: it answers 0x80000000", nil},
		{"filter: ask a supervisor", "nanosleep+notify", "does not let waitid pass: it answers 0x7fc00000", nil},
		{"strict", "read+strict", "strict mode of seccomp", nil},
		{"a call that must not be disturbed", "flock", "no thread of process", nil},
		{"a proc that is none", "futex", "open /nowhere", func(_ *testing.T, _ *runningTarget, o *order) { o.Proc = "/nowhere" }},
		{"a directory that is no proc", "futex", "does not know this process", func(_ *testing.T, _ *runningTarget, o *order) { o.Proc = "/tmp" }},
	}
	for _, f := range freezers(t) {
		rows = append(rows, row{"frozen by " + f.root, "futex", "is frozen", func(t *testing.T, r *runningTarget, _ *order) { f.freeze(t, r) }})
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			r := startTarget(t, tt.target, 3, nil)
			o := order{Request: r.request(r.dead())}
			if tt.prepare != nil {
				tt.prepare(t, r, &o)
			}
			r.refuses(startInjector(t, nil), o, tt.why)
		})
	}
}

// A thread in no call may be in a restartable sequence: then its time comes later.
func TestInCritical(t *testing.T) {
	r := startTarget(t, "busy+rseq", 1, nil)
	type verdict struct{ outside, inside bool }
	seen := make(chan verdict)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // if the thread ended, what it has started would be killed: Pdeathsig
		var v verdict
		if errno := ptrace(unix.PTRACE_SEIZE, r.pid, 0, 0); errno != 0 {
			t.Error(errno)
		}
		ptrace(unix.PTRACE_INTERRUPT, r.pid, 0, 0)
		(&waiter{}).wait(r.pid, 0)
		var area [3]uint64
		ptraceN(unix.PTRACE_GET_RSEQ_CONFIGURATION, r.pid, 24, unsafe.Pointer(&area))
		v.outside = inCritical(r.pid)
		ptrace(unix.PTRACE_POKEDATA, r.pid, uintptr(area[0])+8, 4096)
		v.inside = inCritical(r.pid)
		ptrace(unix.PTRACE_POKEDATA, r.pid, uintptr(area[0])+8, 0)
		ptrace(unix.PTRACE_DETACH, r.pid, 0, 0)
		seen <- v
	}()
	if got := <-seen; got != (verdict{false, true}) {
		t.Errorf("%+v", got)
	}
	b := burst{reaper: &reaper{target: &target{pid: 7}}}
	if err := b.refusal(errCritical); err != nil || !strings.Contains(b.givenUp(mostIdle+1).Error(), "restartable sequence") {
		t.Errorf("%v, %v", err, b.why)
	}
	r.end()
}

// A thread that never is where it was chosen is given up.
func TestNeverAtRest(t *testing.T) {
	r := &reaper{target: &target{pid: 7}, left: make([]numbered, 1)}
	err := r.givenUp(mostIdle + 1)
	if err == nil || !strings.Contains(err.Error(), "never found at rest: signals come") || r.givenUp(mostIdle) != nil {
		t.Error(err)
	}
}

// ofKernel names a kernel thread, kthreadd.
func ofKernel(t *testing.T, _ *runningTarget, o *order) {
	hosttest.NeedsKernelThreads(t)
	text, err := os.ReadFile("/proc/2/stat")
	if err != nil {
		t.Fatal(err)
	}
	s, ok := parseStat(text)
	if !ok {
		t.Fatalf("%q", text)
	}
	o.PID, o.Start = 2, s.start
}

// trace attaches to the target, as a debugger does, until the end of the test.
func trace(t *testing.T, r *runningTarget, stopped bool) {
	attached, end := make(chan unix.Errno), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		errno := ptrace(unix.PTRACE_SEIZE, r.pid, 0, 0)
		if stopped && errno == 0 {
			errno = ptrace(unix.PTRACE_INTERRUPT, r.pid, 0, 0)
		}
		attached <- errno
		<-end
		ptrace(unix.PTRACE_INTERRUPT, r.pid, 0, 0)
		(&waiter{}).wait(r.pid, 0)
		ptrace(unix.PTRACE_DETACH, r.pid, 0, 0)
		end <- struct{}{}
	}()
	t.Cleanup(func() { end <- struct{}{}; <-end })
	if errno := <-attached; errno != 0 {
		t.Fatal(errno)
	}
	if stopped {
		hosttest.Until(t, patience, "it is stopped", func() bool { return r.stat().state == 't' })
	}
}

// An injector that is not what it should be.
func TestRefusalsOfInjector(t *testing.T) {
	everybody := []syscall.SysProcIDMap{{Size: 1 << 16}}
	for _, tt := range []struct {
		name, target, why string
		attr              *syscall.SysProcAttr
	}{
		{"nobody", "futex", "lacks CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}},
		{"in a user namespace", "futex", "may not be traced", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: everybody, GidMappings: everybody}},
		{"in a PID namespace", "futex", "of another PID namespace", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := startTarget(t, tt.target, 3, nil)
			i := startInjector(t, func(c *exec.Cmd) {
				c.SysProcAttr = tt.attr
				c.Path = readable(t)
			})
			r.refuses(i, order{Request: r.request(r.dead())}, tt.why)
		})
	}
}

// readable is this program where everybody can execute it.
func readable(t *testing.T) string {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sexton-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "injector")
	if err := errors.Join(os.WriteFile(name, text, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return name
}

// 32-bit code has other registers and other numbers.
func TestRefuses32Bit(t *testing.T) {
	hosttest.NeedsRoot(t)
	code := []byte{0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7} // pause, again and again
	var elf bytes.Buffer
	const at = 0x08048000
	elf.Write([]byte{0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, field := range []any{ // the rest of the file's header, of 52 bytes, and a program header of 32
		uint16(2), uint16(3), uint32(1), uint32(at + 84), uint32(52), uint32(0), uint32(0), uint16(52), uint16(32), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(0), uint32(at), uint32(at), uint32(84 + len(code)), uint32(84 + len(code)), uint32(5), uint32(4096)} {
		binary.Write(&elf, binary.LittleEndian, field)
	}
	elf.Write(code)
	name := filepath.Join(t.TempDir(), "pause32")
	if err := os.WriteFile(name, elf.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	var err error
	for range 50 { // while a fork of another test holds the file open
		if err = cmd.Start(); !errors.Is(err, unix.ETXTBSY) {
			break
		}
		time.Sleep(10 * time.Millisecond)
		cmd = exec.Command(name)
	}
	if errors.Is(err, unix.ENOEXEC) {
		hosttest.Needs(t, "32-bit-code", false, "a kernel with CONFIG_IA32_EMULATION")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	r := &runningTarget{t: t, pid: cmd.Process.Pid}
	hosttest.Until(t, patience, "it is at rest", func() bool { return r.stat().state == 'S' })
	r.start = r.stat().start
	r.refuses(startInjector(t, nil), order{Request: r.request(nil)}, "runs 32-bit code")
}

// A child that is not what it was is left, and the others are reaped.
func TestChildren(t *testing.T) {
	r := startTarget(t, "poll", 3, nil)
	dead := r.dead()
	other := exec.Command("/bin/sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	foreign := &runningTarget{t: t, pid: other.Process.Pid}
	twin := startTarget(t, "poll", 3, nil) // its children have the same pids in its PID namespace
	given := []Child{{other.Process.Pid, foreign.stat().start}, twin.dead()[0], {dead[0].PID, dead[0].Start + 1}, dead[1], {1, 1}, {-1, 1}, dead[1]}
	i := startInjector(t, nil)
	outcomes, end := i.reap(order{Request: r.request(given)})
	if end.Error != "" {
		t.Fatal(end.Error)
	}
	parent := &runningTarget{t: t, pid: r.cmd.Process.Pid}
	parent.start = parent.stat().start
	alive, end := i.reap(order{Request: parent.request([]Child{{r.pid, r.start}})})
	if outcomes = append(outcomes, alive...); end.Error != "" {
		t.Error(end.Error)
	}
	got := map[string]int{}
	for _, o := range outcomes {
		got[fmt.Sprintf("%v %s", o.Reaped, o.Why)]++
	}
	for want, n := range map[string]int{"false it is not in the PID namespace of its parent": 1, "false its pid belongs to another process by now": 1, "true ": 1,
		"false it is not a child of this parent": 1, "false it is not dead": 1, "false it is no child's pid": 2, "false it has gone already": 1} {
		if got[want] != n {
			t.Errorf("%q: %d, want %d", want, got[want], n)
		}
	}
	if left := twin.dead(); len(left) != 3 {
		t.Errorf("the other parent has %d", len(left))
	}
	if left := r.dead(); len(left) != 2 || left[0] != dead[0] || left[1] != dead[2] {
		t.Errorf("left: %v of %v", left, dead)
	}
	for _, o := range outcomes {
		if o.PID == dead[1].PID && o.Reaped && o.Status != 1<<8 {
			t.Errorf("status %#x: the second child ended with 1", o.Status)
		}
	}
	r.end()
}

// It keeps the capabilities that it needs, and no other.
func TestCapabilities(t *testing.T) {
	for target, keeps := range map[string][]capability.Capability{"futex": Capabilities(false), "futex+log": Capabilities(true)} {
		var want uint64 // a bit each, as in CapEff
		for _, c := range keeps {
			want |= 1 << c
		}
		r := startTarget(t, target, 1, nil)
		i := startInjector(t, nil)
		if _, end := i.reap(order{Request: r.request(r.dead())}); end.Error != "" {
			t.Fatal(end.Error)
		}
		self := &runningTarget{t: t, pid: i.cmd.Process.Pid}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", self.pid))
		kept := 0
		for _, name := range tasks {
			text, _ := os.ReadFile(name)
			if bytes.Contains(text, fmt.Appendf(nil, "CapPrm:\t%016x\nCapEff:\t%016x\n", want, want)) {
				kept++
			}
		}
		// In a program that is linked with C only the one thread gave them up, and it has ended.
		if !cgo && kept != len(tasks) {
			t.Errorf("%s: %d of %d threads have %#x", target, kept, len(tasks), want)
		}
		allowed := exec.Command("/bin/sh", "-c", "echo -1000 >/proc/self/oom_score_adj").Run() == nil
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", self.pid)); allowed && string(text) != "-1000\n" {
			t.Errorf("oom_score_adj %s", text)
		}
	}
}
