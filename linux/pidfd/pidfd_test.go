package pidfd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
)

// roleVar makes the test binary a target: it says "ready" and then each SIGCHLD and SIGUSR1.
const roleVar = "SEXTON_PIDFD_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "":
		os.Exit(m.Run())
	case "foreign":
		foreign()
	case "handler":
		all := make(chan os.Signal, 8)
		signal.Notify(all, unix.SIGCHLD, unix.SIGUSR1)
		fmt.Println("ready")
		for s := range all {
			fmt.Println(s)
		}
	}
}

const patience = 20 * time.Second

// A target is a process of the test's own.
type target struct {
	t     *testing.T
	cmd   *exec.Cmd
	said  string // file with its output
	start uint64
}

// run starts a program that the test's end kills and reaps.
func run(t *testing.T, argv ...string) *target {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "said")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	g := &target{t: t, cmd: exec.Command(argv[0], argv[1:]...), said: out.Name()}
	g.cmd.Stdout = out
	g.cmd.Env = append(os.Environ(), roleVar+"=handler")
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.end)
	g.start = g.stat().Start
	return g
}

func (g *target) end() {
	g.cmd.Process.Kill()
	g.cmd.Wait()
}

// switches is how often its first thread has run; 0 if it has ended.
func (g *target) switches() uint64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid()))
	s, _ := procfs.ParseStatus(text)
	return s.Voluntary + s.Forced
}

func (g *target) pid() int { return g.cmd.Process.Pid }

func (g *target) stat() procfs.Stat {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.pid()))
	if err != nil {
		g.t.Fatal(err)
	}
	s, err := procfs.ParseStat(text)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *target) says(want string) {
	g.t.Helper()
	hosttest.Until(g.t, patience, "it says "+want, func() bool {
		text, err := os.ReadFile(g.said)
		if err != nil {
			g.t.Fatal(err)
		}
		return string(text) == want
	})
}

func (g *target) reaches(state byte) {
	g.t.Helper()
	hosttest.Until(g.t, patience, fmt.Sprintf("it is in state %c", state), func() bool { return g.stat().State == state })
}

// stop brings it into state T, and waits until it has let go of the processor: it takes the
// state before, and that switch counts.
func (g *target) stop() {
	g.t.Helper()
	if err := g.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		g.t.Fatal(err)
	}
	g.reaches('T')
	hosttest.Until(g.t, patience, "it stands still", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", g.pid())) // the kernel waits for that switch to tell it
		if err != nil {
			g.t.Fatal(err)
		}
		return string(text) != "running\n"
	})
}

func (g *target) open() *Process {
	g.t.Helper()
	p, err := Open(g.pid(), g.start)
	if errors.Is(err, ErrTooOld) {
		hosttest.Needs(g.t, "pidfd", false, "Linux 5.3")
	}
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(p.Close)
	return p
}

// wants checks an error by its sentinel and a part of its text.
func wants(t *testing.T, err, is error, part string) {
	t.Helper()
	if !errors.Is(err, is) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want %v with %q", err, is, part)
	}
}

func TestDump(t *testing.T) {
	deaf := run(t, "/bin/sleep", "1000")
	wants(t, deaf.open().Dump(t.Context()), ErrRefused, "it has no handler for SIGUSR1, which would kill it")
	deaf.reaches('S')
	g := run(t, "/proc/self/exe")
	g.says("ready\n")
	p := g.open()
	g.stop()
	wants(t, p.Dump(t.Context()), ErrRefused, "it is stopped (state T) and writes no dump before it goes on")
	if err := p.Resume(t.Context(), g.switches()); err != nil {
		t.Fatal(err)
	}
	if err := p.Dump(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.says("ready\nuser defined signal 1\n")
	g.end()
	wants(t, p.Dump(t.Context()), ErrGone, "")
}

func TestResume(t *testing.T) {
	g := run(t, "/bin/sleep", "1000")
	p := g.open()
	g.reaches('S')
	wants(t, p.Resume(t.Context(), g.switches()), ErrRefused, "it is in state S, not stopped")
	g.stop()
	late, cancel := context.WithCancel(t.Context())
	cancel()
	wants(t, p.Resume(late, g.switches()), context.Canceled, "not signalled")
	wants(t, p.Resume(t.Context(), g.switches()-1), ErrRefused, "it has run since it was seen")
	if g.stat().State != 'T' {
		t.Error("it was resumed after its time, or although it has run")
	}
	if err := p.Resume(t.Context(), g.switches()); err != nil {
		t.Fatal(err)
	}
	g.reaches('S')
}

// A debugger's process does not run on by SIGCONT, and the debugger would see one.
func TestResumeTraced(t *testing.T) {
	g := run(t, "/bin/sleep", "1000")
	p := g.open()
	done, detached := make(chan struct{}), make(chan error)
	traced := make(chan error)
	go func() { detached <- trace(g.pid(), traced, done) }()
	if err := <-traced; err != nil {
		t.Fatal(err)
	}
	wants(t, p.Resume(t.Context(), g.switches()), ErrRefused, " traces it: detach")
	close(done)
	if err := <-detached; err != nil {
		t.Error(err)
	}
}

func TestNudge(t *testing.T) {
	deaf := run(t, "/bin/sleep", "1000")
	wants(t, deaf.open().Nudge(t.Context()), ErrRefused, "no handler for SIGCHLD")
	g := run(t, "/proc/self/exe")
	g.says("ready\n")
	p := g.open()
	if err := p.Nudge(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.says("ready\nchild exited\n")
	g.stop()
	wants(t, p.Nudge(t.Context()), ErrRefused, "resume it first")
}

// Whoever has the pid now, only the process that was seen is signalled.
func TestOnlyTheOneThatWasSeen(t *testing.T) {
	g := run(t, "/bin/sleep", "1000")
	g.stop()
	for _, tt := range []struct {
		name  string
		pid   int
		start uint64
		is    error
		part  string
	}{
		{"started before", g.pid(), g.start + 1, ErrGone, "the one that has the number now"},
		{"another whose low 32 bits are the same", g.pid(), g.start + 1<<32, ErrGone, "the one that has the number now"},
		{"nobody", 1 << 30, g.start, ErrGone, "the process has ended"},
		{"a group", -g.pid(), g.start, ErrRefused, "one process"},
		{"everybody", -1, g.start, ErrRefused, "one process"},
		{"the caller's group", 0, g.start, ErrRefused, "one process"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Open(tt.pid, tt.start)
			if err == nil {
				p.Close()
				t.Fatal("opened")
			}
			wants(t, err, tt.is, tt.part)
		})
	}
	p := g.open()
	g.cmd.Process.Kill()
	g.reaches('Z')
	wants(t, p.Resume(t.Context(), g.switches()), ErrGone, fmt.Sprintf("its parent, pid %d", os.Getpid()))
	g.cmd.Wait()
	wants(t, p.Resume(t.Context(), g.switches()), ErrGone, "the process has ended")
	if err := p.send(t.Context(), unix.SIGCONT); !errors.Is(err, ErrGone) { // even if the pid were another's by now
		t.Errorf("sent to the dead: %v", err)
	}
}

func TestThread(t *testing.T) {
	tids, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	tid := os.Getpid()
	for _, other := range tids { // in the order of their names: 10000 is before 9999
		if tid == os.Getpid() {
			fmt.Sscan(other.Name(), &tid)
		}
	}
	if tid == os.Getpid() {
		t.Fatal("the test has one thread")
	}
	p, err := Open(tid, 1)
	if err == nil {
		p.Close()
	}
	wants(t, err, ErrRefused, "it is a thread")
}

func TestOpenError(t *testing.T) {
	for _, tt := range []struct {
		errno syscall.Errno
		is    error
		part  string
	}{
		{unix.ENOSYS, ErrTooOld, "send it by hand"},
		{unix.ESRCH, ErrGone, "has ended"},
		{unix.EPERM, unix.EPERM, "seccomp=unconfined"},
		{unix.ENOENT, ErrRefused, "it is a thread"},
		{unix.EMFILE, unix.EMFILE, "pidfd_open"},
	} {
		wants(t, openError(7, tt.errno), tt.is, tt.part)
	}
}
