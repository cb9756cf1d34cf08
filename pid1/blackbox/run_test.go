package blackbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// limit bounds each wait for something that should come at once, and each run, on a
// machine that is busy. A mutant, of which it never comes, is given up sooner.
const (
	limit       = 20 * time.Second
	runLimit    = time.Minute
	mutantLimit = 5 * time.Second
	mutantRun   = 15 * time.Second
)

// A run is one init that runs.
type run struct {
	cmd    *exec.Cmd
	notOne bool // it is a child of process 1
	slow   bool // an emulator runs it
	mutant bool
	began  time.Time
	told   *os.File // ends when the init is executed
	tty    *os.File // the other side of its terminal
	dir    string   // a folder of its own, in which it begins
	done   chan struct{}
	state  *os.ProcessState

	mu  sync.Mutex
	out bytes.Buffer // stdout and stderr
}

func (r *run) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

// counts is how often each line was in the output.
func (r *run) counts() map[string]int {
	n := map[string]int{}
	for line := range strings.Lines(r.output()) {
		if line, whole := strings.CutSuffix(line, "\n"); whole {
			n[line]++
		}
	}
	return n
}

// count is how often a number was a line of the output.
func (r *run) count(n int) int { return r.counts()[strconv.Itoa(n)] }

func (r *run) output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// start starts an init as process 1 of a PID namespace of its own. When the test
// ends, so does the namespace.
func start(t *testing.T, l launch) (*run, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &run{dir: l.Dir, notOne: l.NotOne, slow: l.Emulated, mutant: l.Mutant, began: time.Now(), done: make(chan struct{})}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	r.cmd = exec.Command(self)
	r.cmd.Env = []string{launchEnv + "=" + string(text)}
	r.cmd.Stdout, r.cmd.Stderr = r, r
	r.cmd.WaitDelay = time.Second
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if l.Emulated {
		everybody := []syscall.SysProcIDMap{{Size: 1 << 16}}
		r.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		r.cmd.SysProcAttr.UidMappings, r.cmd.SysProcAttr.GidMappings = everybody, everybody
		r.cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	if l.TTY {
		if err := r.terminal(t); err != nil {
			return nil, err
		}
	}
	if l.Tell {
		told, teller, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { told.Close() })
		defer teller.Close()
		r.told, r.cmd.ExtraFiles = told, []*os.File{teller}
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	end := time.AfterFunc(l.limit(), func() { r.cmd.Process.Kill() })
	go func() {
		r.cmd.Wait()
		end.Stop()
		r.state = r.cmd.ProcessState
		close(r.done)
	}()
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		<-r.done
	})
	return r, nil
}

// terminal gives the run a terminal of its own.
//
// Source: pty(7), ioctl_tty(2).
func (r *run) terminal(t *testing.T) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { master.Close() })
	var n, unlock uint32
	for request, at := range map[uintptr]*uint32{syscall.TIOCGPTN: &n, syscall.TIOCSPTLCK: &unlock} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(at))); errno != 0 {
			return errno
		}
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { slave.Close() })
	r.tty = master
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = slave, slave, slave
	r.cmd.SysProcAttr.Setsid, r.cmd.SysProcAttr.Setctty = true, true
	go io.Copy(r, master) // ends when the terminal does
	return nil
}

// line waits for a text in the output.
func (r *run) line(text string) error {
	return r.until("output "+fmt.Sprintf("%q", text), func() bool { return strings.Contains(r.output(), text) })
}

func (r *run) until(what string, ok func() bool) error {
	patience := limit
	if r.mutant {
		patience = mutantLimit
	}
	for end := time.Now().Add(patience); ; {
		gone := false
		select {
		case <-r.done:
			gone = true
		default:
		}
		if ok() {
			return nil
		}
		if gone {
			return fmt.Errorf("it left with %s before %s; output:\n%s", r.state, what, r.output())
		}
		if time.Now().After(end) {
			return fmt.Errorf("no %s; output:\n%s", what, r.output())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// signal sends a signal to the init from outside of its namespace.
func (r *run) signal(sig int) error { return syscall.Kill(r.pid(), syscall.Signal(sig)) }

// pid is the init's process id here: that of process 1, or of its child.
func (r *run) pid() int {
	one := r.cmd.Process.Pid
	if !r.notOne {
		return one
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", one)) // each thread has its own
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
	}
	return one
}

// code waits for the end and returns the exit code, 128 and the signal for a death by one.
func (r *run) code() (int, error) {
	select {
	case <-r.done:
	case <-time.After(runLimit):
		return 0, errors.New("it does not end; output:\n" + r.output())
	}
	if ws := r.state.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return r.state.ExitCode(), nil
}

// file reads a file in the run's folder, "" if there is none.
func (r *run) file(name string) string {
	b, _ := os.ReadFile(r.dir + "/" + name)
	return string(b)
}
