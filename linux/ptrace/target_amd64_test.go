package ptrace

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// A running target and what its test knows of it.
type runningTarget struct {
	t     testing.TB
	cmd   *exec.Cmd
	board *board
	pid   int
	start uint64
	ended chan struct{}

	waitsFor string // name of children that it waits for itself, which are not to be touched; "": none

	late atomic.Int64 // ns that a pause of the test itself took more at most: so busy is the machine
}

// startTarget starts a target, NAME or NAME+OBSTACLE, with dead children, and waits until it is at its work.
func startTarget(t testing.TB, name string, children int, change func(*exec.Cmd)) *runningTarget {
	t.Helper()
	hosttest.NeedsRoot(t)
	fd, err := unix.MemfdCreate("board", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "board")
	defer f.Close()
	if err := f.Truncate(int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	b, err := mapBoard(f)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	name, more, _ := strings.Cut(name, "+")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%s", roleEnv, name, children, more))
	if name != "go" { // a preemption would end system calls with EINTR
		cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	}
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if name == "go" {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	}
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if name == "go" {
		b.pid = int64(cmd.Process.Pid)
	}
	r := &runningTarget{t: t, cmd: cmd, board: b, ended: make(chan struct{})}
	go func() { cmd.Wait(); close(r.ended) }()
	go r.pause()
	t.Cleanup(func() {
		if r.pid != 0 && r.pid != cmd.Process.Pid {
			unix.Kill(r.pid, unix.SIGKILL) // our grandchild: its parent waits for it
		}
		select {
		case <-r.ended:
		case <-time.After(time.Second):
			cmd.Process.Kill()
			<-r.ended
		}
	})
	hosttest.Until(t, patience, name+" is there", func() bool { r.pid = int(b.get(&b.pid)); return r.pid != 0 })
	hosttest.Until(t, patience, "all children are dead", func() bool { return len(r.dead()) >= children })
	r.start = r.stat().start
	if name != "go" && name != "busy" {
		hosttest.Until(t, patience, name+" is at rest", func() bool { return r.stat().state == 'S' })
	}
	return r
}

// pause makes pauses as the target does, to tell how late each of them is when nobody disturbs it.
func (r *runningTarget) pause() {
	for {
		began := time.Now()
		select {
		case <-r.ended:
			return
		case <-time.After(finite / 10):
			r.late.Store(max(r.late.Load(), int64(time.Since(began)-finite/10)))
		}
	}
}

func (r *runningTarget) stat() stat {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.pid))
	if err != nil {
		r.t.Fatalf("the target has ended: %v", err)
	}
	s, ok := parseStat(text)
	if !ok {
		r.t.Fatalf("stat: %q", text)
	}
	return s
}

// line is the value of a line of status.
func (r *runningTarget) line(name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.pid))
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// dead lists the dead children.
func (r *runningTarget) dead() (all []Child) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			pid, _ := strconv.Atoi(word)
			text, err := os.ReadFile("/proc/" + word + "/stat")
			if s, ok := parseStat(text); err == nil && ok && s.state == 'Z' && (r.waitsFor == "" || !bytes.Contains(text, []byte("("+r.waitsFor+")"))) {
				all = append(all, Child{pid, s.start})
			}
		}
	}
	return all
}

func (r *runningTarget) request(dead []Child) Request {
	return Request{Proc: "/proc", PID: r.pid, Start: r.start, Dead: dead}
}

// end asks the target to end by itself.
func (r *runningTarget) end() {
	r.t.Helper()
	r.board.stop = 1
	hosttest.Until(r.t, patience, "the target ends", func() bool {
		unix.Kill(r.pid, unix.SIGUSR1)
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
	if code := r.cmd.ProcessState.ExitCode(); code != endCode {
		r.t.Errorf("it ended with code %d, not %d", code, endCode)
	}
}

// undisturbed fails the test unless the target is as if nothing had been.
func (r *runningTarget) undisturbed(blocked string, longest time.Duration) {
	r.t.Helper()
	b := r.board
	for what, n := range map[string]int64{"EINTR": b.get(&b.eintr), "early returns": b.get(&b.early), "wrong results": b.get(&b.wrong)} {
		if n != 0 {
			r.t.Errorf("%d %s, result %d, in %d calls", n, what, b.result, b.calls)
		}
	}
	busy := time.Duration(r.late.Load())
	if late := time.Duration(b.get(&b.longest)) - finite - longest; late > 800*time.Millisecond+2*busy {
		r.t.Errorf("a call of %v took %v more, the longest injection %v, and a pause beside it %v", time.Duration(finite), late, longest, busy)
	}
	if got := r.line("SigBlk"); got != blocked {
		r.t.Errorf("SigBlk is %s, was %s", got, blocked)
	}
	if got := r.line("TracerPid"); got != "0" {
		r.t.Errorf("TracerPid is %s", got)
	}
	if s := r.stat().state; s == 'T' || s == 't' {
		r.t.Errorf("state %c", s)
	}
}
