package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

const (
	atEntry = "-E sexton_entry"
	within  = 10 * time.Second // no start may take longer
)

// built is where the programs of these tests are; each is linked once.
var built struct {
	dir string
	sync.Mutex
	done map[string]error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sexton-entry")
	if err == nil {
		err = os.Chmod(dir, 0o755) // another uid runs them
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.dir, built.done = dir, map[string]error{}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program is sexton for an architecture, linked with more flags.
func program(t *testing.T, arch, flags string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	name := filepath.Join(built.dir, arch+strings.ReplaceAll(flags, " ", ""))
	err, ok := built.done[name]
	if !ok {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", name, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		var text []byte
		if text, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
		built.done[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// guarded is sexton as the Makefile links it.
func guarded(t *testing.T) string {
	t.Helper()
	if !slices.Contains([]string{"amd64", "arm64"}, runtime.GOARCH) {
		t.Skip("this architecture has no entry of ours")
	}
	return program(t, runtime.GOARCH, atEntry)
}

// An outcome is how a start ended.
type outcome struct {
	out  string // both streams
	code int    // -1: by a signal
}

// start runs a program that waits for meddle before its first instruction.
func start(t *testing.T, attr *syscall.SysProcAttr, env []string, meddle func(pid int) error, argv ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `read go && exec "$@"`, "sh"}, argv...)...)
	cmd.SysProcAttr, cmd.Env, cmd.WaitDelay = attr, append(os.Environ(), env...), time.Second
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	cmd.Stdin = r
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	meddled := meddle(cmd.Process.Pid)
	fmt.Fprintln(w, "go")
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if meddled != nil {
		t.Fatal(meddled)
	}
	if ctx.Err() != nil {
		t.Errorf("hung for %v: %s", within, out.String())
	}
	return outcome{out.String(), cmd.ProcessState.ExitCode()}
}

func alone(int) error { return nil }

// refused reports whether the entry would not start the runtime, and fails the
// test unless the outcome is that, or a report.
func (o outcome) refused(t *testing.T) bool {
	t.Helper()
	for _, trace := range []string{"goroutine ", "fatal error", "panic", "runtime:", "\x00"} {
		if strings.Contains(o.out, trace) {
			t.Errorf("exit %d, the output has %q:\n%s", o.code, trace, o.out)
		}
	}
	lines := strings.SplitAfter(o.out, "\n")
	if strings.HasPrefix(o.out, "sexton: cannot start: ") {
		if len(lines) != 3 || !strings.HasPrefix(lines[1], "  try: ") || lines[2] != "" || o.code != 4 {
			t.Errorf("exit %d, not an error with its hint alone:\n%s", o.code, o.out)
		}
		return true
	}
	if !slices.Contains([]int{0, 3, 4}, o.code) || !strings.Contains(o.out, "processes: ") {
		t.Errorf("exit %d, neither a report nor an error:\n%s", o.code, o.out)
	}
	return false
}

func TestEntryPoint(t *testing.T) {
	arches := []string{runtime.GOARCH}
	if runtime.GOARCH != "arm64" && emulator() != "" {
		arches = append(arches, "arm64")
	}
	guarded(t)
	for _, arch := range arches {
		for _, tt := range []struct{ name, flags, want string }{
			{"with the flag", atEntry, "sexton_entry"},
			{"plain", "", "_rt0_" + arch + "_linux"},
		} {
			t.Run(arch+" "+tt.name, func(t *testing.T) {
				f, err := elf.Open(program(t, arch, tt.flags))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				symbols, err := f.Symbols()
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == tt.want })
				if i < 0 || symbols[i].Value != f.Entry {
					t.Errorf("e_entry is %#x, not %s", f.Entry, tt.want)
				}
			})
		}
	}
	for _, file := range []string{"../../Makefile", "../../scripts/test.sh"} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), atEntry) {
			t.Errorf("%s does not link with %s (%v)", file, atEntry, err)
		}
	}
}

func emulator() string {
	path, _ := exec.LookPath("qemu-aarch64-static")
	return path
}

func TestEmulatedArm64(t *testing.T) {
	if emulator() == "" || runtime.GOARCH == "arm64" {
		t.Skip("no qemu-aarch64-static")
	}
	program := program(t, "arm64", atEntry)
	if o := start(t, nil, nil, alone, emulator(), program, "why", "", "x"); o.code != 2 || !strings.Contains(o.out, "sexton why: ") {
		t.Errorf("exit %d: %s", o.code, o.out)
	}
	if o := start(t, nil, nil, limit(unix.RLIMIT_AS, 1<<30), emulator(), program, "version"); o.code != 0 && !o.refused(t) {
		t.Errorf("1 GiB of addresses: exit %d: %s", o.code, o.out)
	}
}

// The plain program works, and both see the same arguments and environment.
func TestArguments(t *testing.T) {
	for _, program := range []string{program(t, runtime.GOARCH, ""), guarded(t)} {
		if o := start(t, nil, nil, alone, program, "scan", "--interval", "0"); o.refused(t) {
			t.Error(o.out)
		}
		o := start(t, nil, nil, alone, program, "--", "an argument", "", "x")
		if o.code != 2 || !strings.Contains(o.out, `unknown command "an argument"`) {
			t.Errorf("exit %d: %s", o.code, o.out)
		}
		if o := start(t, nil, nil, alone, "env", "-i", program, "version"); o.code != 0 {
			t.Errorf("no environment: exit %d: %s", o.code, o.out)
		}
	}
}

// The entry says how wide the runtime is, whatever the machine or the user has; a
// hidden command says it itself.
func TestWidth(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{"version", "gomaxprocs=2 "},
		{"__child", "gomaxprocs=64 "},
	} {
		o := start(t, nil, []string{"GOMAXPROCS=64", "GODEBUG=schedtrace=1"}, alone, guarded(t), tt.command)
		if !strings.Contains(o.out, tt.want) {
			t.Errorf("%s: no %q in %s", tt.command, tt.want, o.out)
		}
	}
}

func TestStarts(t *testing.T) {
	sexton := guarded(t)
	for _, tt := range []struct {
		name, shell string
		root        bool
		attr        *syscall.SysProcAttr
		prepare     func() error // of the thread that starts it
	}{
		{name: "plain", shell: `exec "$@"`},
		{name: "child of a waiting shell", shell: `"$@" && :`},
		{name: "SIGCHLD ignored", shell: `trap "" CHLD; exec "$@"`},
		{name: "every signal ignored", shell: `trap "" HUP INT QUIT TERM CHLD USR1 URG PIPE; exec "$@"`},
		{name: "every signal blocked", shell: `exec "$@"`, prepare: blockAll},
		{name: "no descriptors", shell: `exec "$@" <&- >&- 2>&-`},
		{name: "PID 1", shell: `exec "$@"`, root: true, attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}},
		{name: "forbidden clone flag", shell: `exec "$@"`, prepare: forbidClearTID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root {
				hosttest.NeedsRoot(t)
			}
			for _, command := range [][]string{{"version"}, {"scan", "--interval", "0", "--check", "no-init"}} {
				var o outcome
				odd(t, tt.prepare, func() {
					o = start(t, tt.attr, nil, alone, append([]string{"/bin/sh", "-c", tt.shell, "sh", sexton}, command...)...)
				})
				if !slices.Contains([]int{0, 3, 4}, o.code) || strings.Contains(o.out, "cannot start") || command[0] == "version" && o.code != 0 {
					t.Errorf("%q: exit %d: %s", command, o.code, o.out)
				}
			}
		})
	}
}

// odd runs f in a thread that prepare has changed, which then ends.
func odd(t *testing.T, prepare func() error, f func()) {
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		if prepare != nil {
			runtime.LockOSThread()
			if err = prepare(); err != nil {
				return
			}
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if t.Failed() { // Fatal in f has ended the thread, not the test
		t.FailNow()
	}
}

func blockAll() error {
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil)
}

// forbidClearTID lets clone fail with EPERM when it has CLONE_CHILD_CLEARTID,
// which the entry asks for and the runtime does not.
func forbidClearTID() error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_CLONE},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // its flags
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: unix.CLONE_CHILD_CLEARTID},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x50000 | uint32(unix.EPERM)}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},                   // SECCOMP_RET_ALLOW
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}

func TestManyStarts(t *testing.T) {
	sexton := guarded(t)
	for i := range 300 {
		if out, err := exec.CommandContext(t.Context(), sexton, "version").CombinedOutput(); err != nil {
			t.Fatalf("start %d: %v: %s", i, err, out)
		}
	}
}

// limit is a meddler that sets a limit of the process.
func limit(resource int, n uint64) func(pid int) error {
	return func(pid int) error {
		return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
	}
}

// gone removes a directory of a cgroup whose processes may still be ending.
func gone(t *testing.T, dir string) {
	t.Helper()
	hosttest.Until(t, within, dir+" can be removed", func() bool {
		err := os.Remove(dir)
		return err == nil || errors.Is(err, os.ErrNotExist)
	})
}
