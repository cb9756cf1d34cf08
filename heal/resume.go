package heal

import (
	"context"

	"sexton.dev/plan"
)

// Resume says of each act that a crash cut short whether it was done, from a look
// that was taken since, and writes that down. open is what [Unfinished] returned.
func Resume(ctx context.Context, j *Journal, open []Entry, seen Sight) (out []plan.Step, err error) {
	for _, e := range open {
		if e.Event != "begin" {
			continue
		}
		s := e.Step
		gone, left := plan.Gone(seen.Host, s)
		switch {
		case e.BootID != seen.Host.BootID:
			s.Status, s.Why = plan.Done, "cut short, and the host has booted since: what it was to change is gone"
		case gone:
			s.Status, s.Why = plan.Done, "cut short, and it was done: looked again: gone"
		default:
			s.Status, s.Why = plan.Unverified, "cut short, and it was not done: "+left+"; plan again: sexton heal"
		}
		if err := j.append(plan.Plan{ID: e.Plan, BootID: e.BootID}, Entry{Event: "end", Who: e.Who, Step: s}); err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}
