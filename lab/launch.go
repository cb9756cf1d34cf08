package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A site is a fault while up builds it.
type site struct {
	ctx   context.Context
	dir   stateDir
	rec   record
	plays []*play // processes that still wait for our word
}

// A play is a started process and the two pipes to it. It goes on only when it
// is told to, and ends if its pipe is closed before.
type play struct {
	cmd     *exec.Cmd
	orders  *os.File
	reports *os.File
	lines   *bufio.Reader
}

// A report is one line from a process: the step it reached, or why it failed.
type report struct {
	Step  string `json:"step,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// start starts a process of the fault, and returns when it waits for the first
// order with its identity in the state file.
func (s *site) start(recorded, role string, attr *syscall.SysProcAttr, args ...string) (*play, error) {
	p, err := launch(s.ctx, s.rec.Name, role, s.rec.Until, attr, args...)
	if err != nil {
		return nil, err
	}
	if err := s.note(recorded, p.cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	s.plays = append(s.plays, p)
	return p, nil
}

// startInit starts init, the first process of a PID namespace. more can make it one of
// a mount namespace too, whose last arg then is the one of up, which it must not be in.
func (s *site) startInit(role string, more uintptr, args ...string) (*play, error) {
	if more&syscall.CLONE_NEWNS != 0 {
		here, err := os.Readlink("/proc/self/ns/mnt")
		if err != nil {
			return nil, err
		}
		args = append(args, here)
	}
	return s.start(roleInit, role, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | more, Setsid: true}, args...)
}

// note adds a process to the state file.
func (s *site) note(role string, pid int) error {
	id, err := identify(role, pid)
	if err != nil {
		return err
	}
	s.rec.Processes = append(s.rec.Processes, id)
	return s.dir.write(s.rec)
}

// proved marks the record as that of a fault that is there.
func (s *site) proved() error {
	s.rec.Complete = true
	return s.dir.write(s.rec)
}

// shows waits until the kernel shows all of a fault.
func (s *site) shows(look func(record) (sight, error)) error {
	return s.until("the kernel shows all that was made", func() (bool, error) {
		seen, err := look(s.rec)
		return seen.all, err
	})
}

// stands proves a fault and lets init go on, which until then ends if we do.
func (s *site) stands(init *play, look func(record) (sight, error)) error {
	if err := s.shows(look); err != nil {
		return err
	}
	if err := s.proved(); err != nil {
		return err
	}
	return init.order()
}

// letGo closes the pipes: a process that was not told to stay ends.
func (s *site) letGo() {
	for _, p := range s.plays {
		p.letGo()
		p.cmd.Process.Release() // nobody here waits for it
	}
	s.plays = nil
}

// until polls ok every 10 ms; what it waited for is in the error.
func (s *site) until(what string, ok func() (bool, error)) error {
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("%s: %w", what, s.ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// environment is what the processes of a fault are given besides the fault's
// name. Go's runtime keeps files of a cgroup open, and so its mount, unless told
// not to.
var environment = []string{"GODEBUG=containermaxprocs=0"}

// self is this program as one of the fault's processes, not started yet. Its
// standard streams are /dev/null and its directory is /, so that it keeps
// neither a terminal nor a mount.
func self(fault, role string, until time.Time, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{ActorCommand, role, strconv.FormatInt(until.UnixMilli(), 10)}, args...)...)
	cmd.Args[0] = "sexton"
	cmd.Dir = "/"
	cmd.Env = append([]string{"SEXTON_LAB=" + fault}, environment...)
	if acting { // hand on those that up opened, on the host's mounts
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	}
	return cmd
}

// keepFiles lets no file that the caller inherited reach a process of a fault:
// it would hold the pipe of a shell or an ssh open until the fault ends.
func keepFiles() error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd) // what Go opened is so already
		}
	}
	return nil
}

// launch starts a process with its pipes and waits until it says hello, which
// it does after it took its name.
func launch(ctx context.Context, fault, role string, until time.Time, attr *syscall.SysProcAttr, args ...string) (*play, error) {
	if err := keepFiles(); err != nil {
		return nil, err
	}
	orderR, orderW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer orderR.Close()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		orderW.Close()
		return nil, err
	}
	defer reportW.Close()
	cmd := self(fault, role, until, args...)
	cmd.SysProcAttr = attr
	cmd.ExtraFiles = []*os.File{orderR, reportW} // descriptors 3 and 4, see stage
	p := &play{cmd, orderW, reportR, bufio.NewReader(reportR)}
	if err := cmd.Start(); err != nil {
		p.letGo()
		err = fmt.Errorf("start %s: %w", role, err)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
			err = hint(err, "root of the host may make namespaces; in a container run it with --privileged")
		}
		return nil, err
	}
	if err := p.heard(ctx, "hello"); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// order lets the process go on to its next step.
func (p *play) order() error {
	if _, err := p.orders.Write([]byte{'+'}); err != nil {
		return fmt.Errorf("%s: it does not listen any more: %w", p.cmd.Args[2], err)
	}
	return nil
}

// heard waits until the process reports a step; "" waits for the end of its
// reports, which comes when it executes another program or ends.
func (p *play) heard(ctx context.Context, step string) error {
	role := p.cmd.Args[2]
	stop := context.AfterFunc(ctx, func() { p.reports.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := p.lines.ReadBytes('\n')
	if err == io.EOF && step == "" && len(line) == 0 {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("%s ended before step %q", role, step)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: waiting for step %q: %w", role, step, err)
	}
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("%s: report %.80q: %w", role, line, err)
	}
	if r.Error != "" {
		err := fmt.Errorf("%s: %s", role, r.Error)
		if r.Hint != "" {
			err = hint(err, r.Hint)
		}
		return err
	}
	if r.Step != step {
		return fmt.Errorf("%s reported step %q, not %q", role, r.Step, step)
	}
	return nil
}

// next lets the process go on and waits until it reports a step. One that has ended may
// have said why.
func (p *play) next(ctx context.Context, step string) error {
	return errors.Join(p.order(), p.heard(ctx, step))
}

func (p *play) letGo() {
	p.orders.Close()
	p.reports.Close()
}

// kill ends a process that is our child and waits for it, at most settle.
func (p *play) kill() error {
	p.letGo()
	p.cmd.Process.Kill() // fails if it has ended
	done := make(chan struct{})
	go func() { p.cmd.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(settle):
		return fmt.Errorf("%s (pid %d) did not end within %v of SIGKILL", p.cmd.Args[2], p.cmd.Process.Pid, settle)
	}
}
