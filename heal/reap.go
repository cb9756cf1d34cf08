package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"sexton.dev/linux/ptrace"
	"sexton.dev/plan"
)

// reap reaps the dead children of a step in place of their parent. How each ended
// is written down before, for the kernel forgets it then, and what became of it after.
func reap(ctx context.Context, s plan.Step, note func(any) error) error {
	watched, err := watchedBy(s.Target.PID)
	if err != nil {
		return refusal{fmt.Errorf("whom process %d watches by a pidfd cannot be read: %w", s.Target.PID, err)}
	}
	r := ptrace.Request{Proc: "/proc", PID: s.Target.PID, Start: s.Target.Start}
	for _, c := range s.Target.Children {
		if !watched[c.PID] {
			r.Dead = append(r.Dead, ptrace.Child{PID: c.PID, Start: c.Start})
		}
	}
	if len(r.Dead) == 0 {
		return refusal{fmt.Errorf("process %d watches each of them by a pidfd: it has not forgotten them", s.Target.PID)}
	}
	if ended := statuses(r.Dead); len(ended) > 0 {
		if err := note(ended); err != nil {
			return err
		}
	}
	var outcomes []ptrace.Outcome
	write := func() error {
		if len(outcomes) == 0 {
			return nil
		}
		defer func() { outcomes = outcomes[:0] }()
		return note(outcomes)
	}
	const atOnce = 256
	err = ptrace.Reap(ctx, r, func(o ptrace.Outcome) error {
		if outcomes = append(outcomes, o); len(outcomes) < atOnce {
			return nil
		}
		return write()
	})
	err = errors.Join(err, write())
	if no, ok := errors.AsType[*ptrace.Refusal](err); ok {
		return refusal{fmt.Errorf("%s: %s", no.Why, no.Instead)}
	}
	return err
}

// A status is how a dead child ended, as wait(2) would tell.
type status struct {
	PID    int `json:"pid"`
	Status int `json:"status"`
}

// statuses are those of the children before one is reaped: afterwards nothing
// tells them any more.
func statuses(dead []ptrace.Child) (out []status) {
	for _, c := range dead {
		if st, err := readStat(c.PID); err == nil && st.Start == c.Start { // else it has gone
			out = append(out, status{c.PID, st.ExitCode})
		}
	}
	return out
}

// watchedBy are the processes on which a process has a pidfd, by pid: whoever
// watches a child may still come to wait for it.
//
// Source: pidfd_open(2); Linux 6.12 fs/pidfs.c, pidfd_show_fdinfo; before 6.9 an
// anonymous inode.
func watchedBy(pid int) (map[int]bool, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return nil, err
	}
	watched := map[int]bool{}
	for _, fd := range fds {
		link, err := os.Readlink(dir + "fd/" + fd.Name())
		if err != nil || link != "anon_inode:[pidfd]" && !strings.HasPrefix(link, "pidfd:") {
			continue
		}
		text, err := os.ReadFile(dir + "fdinfo/" + fd.Name())
		if err != nil {
			continue // closed meanwhile
		}
		_, after, _ := strings.Cut(string(text), "\nPid:")
		line, _, _ := strings.Cut(after, "\n")
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n > 0 {
			watched[n] = true
		}
	}
	return watched, nil
}
