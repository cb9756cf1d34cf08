package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"sexton.dev/linux/freezer"
	"sexton.dev/linux/pidfd"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
)

func nudge(ctx context.Context, s plan.Step, _ func(any) error) error {
	return signalled(s, func(p *pidfd.Process) error { return p.Nudge(ctx) })
}

func resume(ctx context.Context, s plan.Step, _ func(any) error) error {
	return signalled(s, func(p *pidfd.Process) error { return p.Resume(ctx, s.Target.Switches) })
}

// signalled sends a signal to the very process that a step names.
func signalled(s plan.Step, send func(*pidfd.Process) error) error {
	if s.Target.PID == 1 && s.Action != "nudge-parent" {
		return refusal{errors.New("it is the host's own init: resume it by hand, kill -CONT 1, if nobody stopped it for a purpose")}
	}
	p, err := pidfd.Open(s.Target.PID, s.Target.Start)
	if err == nil {
		defer p.Close()
		err = send(p)
	}
	return pinned(err)
}

// pinned sorts the errors of pidfd.
func pinned(err error) error {
	return sorted(err, []error{pidfd.ErrGone}, []error{pidfd.ErrRefused, pidfd.ErrTooOld})
}

// readStat reads how a process is, whoever has the number now.
func readStat(pid int) (procfs.Stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procfs.Stat{}, err
	}
	return procfs.ParseStat(text)
}

// thaw thaws the very cgroup that a step names.
func thaw(ctx context.Context, s plan.Step, _ func(any) error) error {
	if s.Target.Inode == 0 {
		return refusal{fmt.Errorf("the directory of cgroup %s could not be told apart from a later one: thaw it by hand: %s", s.Target.Cgroup, s.Command)}
	}
	c, err := freezer.Open(path.Dir(s.Target.Path), s.Target.Inode)
	if err == nil {
		defer c.Close()
		err = c.Thaw(ctx)
	}
	return sorted(err, []error{freezer.ErrGone, freezer.ErrThawed}, []error{freezer.ErrRefused})
}
