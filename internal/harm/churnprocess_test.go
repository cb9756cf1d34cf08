package harm_test

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
)

// resume lets a stopped process go on, or not, if another has its pid by then.
func (c *churn) resume() error {
	p, start, err := stopped()
	if err != nil {
		return err
	}
	defer func() { stop(p) }()
	step := plan.Step{Action: "resume-process"}
	step.Target.Kind, step.Target.PID, step.Target.Start = "process", p.Pid, start
	if step.Target.Switches, err = switchesOf(p.Pid); err != nil {
		return err
	}
	what, same := "alone", true
	switch c.IntN(3) {
	case 0:
		what, same = "it has run since", false
		if err := p.Signal(unix.SIGCONT); err != nil {
			return err
		}
		for n := step.Target.Switches; n == step.Target.Switches && err == nil; runtime.Gosched() {
			n, err = switchesOf(p.Pid)
		}
		if err = errors.Join(err, stopIt(p)); err != nil {
			return err
		}
	case 1:
		const tick = 10 * time.Millisecond // two of one pid and one start would be one
		time.Sleep(2 * tick)
		what, same = "its pid used again", false
		if p, err = again(p); err != nil {
			return err
		}
	}
	out, err := c.act(step, what, func() error { return nil })
	if err != nil {
		return err
	}
	state, _, err := stateOf(p.Pid)
	switch {
	case err != nil:
		return err
	case !same && state != 'T':
		c.miss("%s: it was let go on: %+v", what, out)
	case same && (out.Status != "" || state == 'T'):
		c.miss("it is %c: %+v", state, out)
	}
	return nil
}

// stopped starts a process and stops it.
func stopped() (p *os.Process, start uint64, err error) {
	if p, err = os.StartProcess("/program", []string{"stopped"}, &os.ProcAttr{}); err != nil {
		return nil, 0, err
	}
	if err := stopIt(p); err != nil {
		return nil, 0, err
	}
	_, start, err = stateOf(p.Pid)
	return p, start, err
}

func stopIt(p *os.Process) error {
	err := p.Signal(unix.SIGSTOP)
	for state := byte(0); state != 'T' && err == nil; runtime.Gosched() {
		state, _, err = stateOf(p.Pid)
	}
	return err
}

func stateOf(pid int) (state byte, start uint64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	s, err := procfs.ParseStat(text)
	return s.State, s.Start, err
}

func switchesOf(pid int) (uint64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	s, err := procfs.ParseStatus(text)
	return s.Voluntary + s.Forced, err
}

// again ends a process and starts others until one has its pid.
func again(p *os.Process) (*os.Process, error) {
	pid := p.Pid
	stop(p)
	for range 10_000 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			return nil, err
		}
		next, _, err := stopped()
		if err != nil || next.Pid == pid {
			return next, err
		}
		stop(next)
	}
	return nil, errors.New("its pid was not given again")
}
