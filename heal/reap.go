package heal

import (
	"context"
	"errors"
	"fmt"

	"sexton.dev/linux/ptrace"
	"sexton.dev/plan"
)

// reap reaps the dead children of a step in place of their parent. How each ended
// is written down as soon as it is known: the kernel forgets it then.
func reap(ctx context.Context, s plan.Step, note func(any) error) error {
	r := ptrace.Request{Proc: "/proc", PID: s.Target.PID, Start: s.Target.Start}
	for _, c := range s.Target.Children {
		r.Dead = append(r.Dead, ptrace.Child{PID: c.PID, Start: c.Start})
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
	err := ptrace.Reap(ctx, r, func(o ptrace.Outcome) error {
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
