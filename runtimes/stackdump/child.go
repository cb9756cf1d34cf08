package stackdump

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/capability"
	"sexton.dev/linux/pidfd"
	"sexton.dev/linux/self"
)

const (
	childCommand = "__stacks"
	maxHeader    = 1 << 16
	slack        = 2 * time.Second // for a child to start and to say that time is up
)

// IsChild reports whether the program was started to take a dump.
func IsChild(args []string) bool { return len(args) > 0 && args[0] == childCommand }

// A reply is the first line that a child writes; the dump follows.
type reply struct {
	Dump *Dump  `json:"dump,omitempty"`
	Err  string `json:"err,omitempty"`
	Try  string `json:"try,omitempty"`
}

// uses are the capabilities that the child keeps, of those that there are: for the
// signal, for the links of another user's process, and for where that one may write.
var uses = []capability.Capability{unix.CAP_KILL, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH}

// ChildMain takes a dump in a process of its own: __stacks PID START MILLISECONDS.
func ChildMain(args []string, stdout io.Writer) int {
	os.WriteFile("/proc/self/comm", []byte("sexton"), 0)
	var r reply
	pid, start, wait, err := order(args)
	if err == nil {
		err = capability.Keep(nil, uses)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		r.Dump, err = take(ctx, pid, start)
	}
	if err != nil {
		r.Err, r.Try = err.Error(), advice(err)
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = stdout.Write(append(line, '\n'))
	}
	if err == nil && r.Dump != nil {
		_, err = io.Copy(stdout, r.Dump.content)
	}
	if err != nil {
		return 1
	}
	return 0
}

func order(args []string) (pid int, start uint64, wait time.Duration, err error) {
	if len(args) != 4 {
		return 0, 0, 0, errors.New("a pid, its start and a time are missing")
	}
	pid, bad1 := strconv.Atoi(args[1])
	start, bad2 := strconv.ParseUint(args[2], 10, 64)
	ms, bad3 := strconv.Atoi(args[3])
	return pid, start, time.Duration(ms) * time.Millisecond, errors.Join(bad1, bad2, bad3)
}

// advice is what to do about an error.
func advice(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "run as root on the host"
	case errors.Is(err, pidfd.ErrGone):
		return "sexton ps, for the pids of the daemons that are seen from here"
	case errors.Is(err, ErrRefused), errors.Is(err, pidfd.ErrRefused):
		return "sexton scan, which says what a daemon is stuck at without its dump"
	case errors.Is(err, pidfd.ErrTooOld):
		return "kill -USR1 by hand, then sexton stacks FILE"
	}
	return "a longer --timeout; a daemon that cannot write has its dump nowhere: sexton scan says which layer is silent"
}

// A failure is what a child could not do, with a hint.
type failure struct{ text, try string }

func (f failure) Error() string { return f.text }

// Hint is what to try.
func (f failure) Hint() string { return f.try }

// A Taken is a dump that is being read. It must be closed.
type Taken struct {
	Dump
	in   *bufio.Reader
	out  *os.File
	cmd  *exec.Cmd // nil: it was left
	last time.Time // when reading ends; zero: it has no end
}

// Take asks a process for its dump and returns it as it is read, at the latest when
// wait is over or ctx ends; reading ends with the deadline of ctx. start, in clock ticks
// after boot, tells the process from a later one of that number; 0 is whoever has it.
// It must be read and closed by the goroutine that took it.
func Take(ctx context.Context, pid int, start uint64, wait time.Duration) (*Taken, error) {
	cmd := self.Command(syscall.SIGKILL, childCommand, strconv.Itoa(pid), strconv.FormatUint(start, 10), strconv.FormatInt(wait.Milliseconds(), 10))
	r, err := self.Start(cmd)
	if err != nil {
		return nil, err
	}
	t := &Taken{out: r, in: bufio.NewReaderSize(r, maxHeader), cmd: cmd}
	t.last, _ = ctx.Deadline()
	r.SetReadDeadline(time.Now().Add(wait + slack))
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := t.header(pid); err != nil {
		t.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	r.SetReadDeadline(time.Time{})
	return t, nil
}

func (t *Taken) header(pid int) error {
	line, err := t.in.ReadSlice('\n')
	var r reply
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failure{fmt.Sprintf("pid %d: reading of it does not return: its memory or a file system that it uses is blocked", pid), "sexton scan, which says what it waits for"}
	case err != nil:
		return fmt.Errorf("the child that takes the dump: %w", err)
	case r.Err != "":
		return failure{r.Err, r.Try}
	}
	t.Dump = *r.Dump
	return nil
}

// stall is how long the dump's file system may be silent while it is read.
const stall = 10 * time.Second

// Read reads the dump.
func (t *Taken) Read(b []byte) (int, error) {
	until := time.Now().Add(stall)
	if !t.last.IsZero() && t.last.Before(until) {
		until = t.last
	}
	t.out.SetReadDeadline(until)
	return t.in.Read(b)
}

// Close ends the child.
func (t *Taken) Close() error {
	t.out.Close()
	if t.cmd != nil {
		t.cmd.Process.Kill()
		self.Leave(context.Background(), t.cmd)
		t.cmd = nil
	}
	return nil
}
