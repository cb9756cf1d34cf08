package heal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"sexton.dev/plan"
)

// lasting are the acts on what outlives a boot: what a runtime keeps, and the metadata of a pool.
var lasting = []string{"retry-remove", "delete-thin"}

// Resume does what is left of each act that a crash cut short, says whether it was
// done, from a look that was taken since, and writes that down. open is what
// [Unfinished] returned.
func Resume(ctx context.Context, j *Journal, open []Entry, seen Sight) (out []plan.Step, err error) {
	for i, e := range open {
		if e.Event != "begin" {
			continue
		}
		s := e.Step
		gone, left := plan.Gone(seen.Host, s)
		blind := seen.blind(s.Finding)
		switch {
		case e.BootID != seen.Host.BootID && !slices.Contains(lasting, s.Action):
			s.Status, s.Why = plan.Done, "cut short, and the host has booted since: what it was to change is gone"
		case blind != "":
			s.Status, s.Why = plan.Unverified, "cut short, and it cannot be told whether it was done: "+blind
		case gone && s.Action == "restart-holder":
			s.Status, s.Why = plan.Unverified, "cut short, and "+halfRestarted
		case gone:
			s.Status, s.Why = plan.Done, "cut short, and it was done: looked again: gone"
		default:
			s.Status, s.Why = plan.Unverified, "cut short, and not seen to be done: "+left+"; plan again: sexton heal"
		}
		p := plan.Plan{ID: e.Plan, BootID: e.BootID}
		switch note := lastNote(open[i+1:]); {
		case note == nil || acts[s.Action].restore == nil:
		case e.BootID != seen.Host.BootID: // where its namespace led is not known any more
			s.Why += fmt.Sprintf("; an empty directory .sexton-... may be left beside %s: rmdir it", s.Target.Path)
		default:
			if why := j.restore(ctx, p, order{s, note}); why != "" {
				s.Status, s.Why = plan.Failed, s.Why+"; what it left could not be put back: "+why
			}
		}
		if err := j.append(p, Entry{Event: "end", Who: e.Who, Step: s}); err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}

// lastNote is the last thing that an act said before it changed something; nil if
// it did not come so far.
func lastNote(after []Entry) (note json.RawMessage) {
	for _, e := range after {
		if e.Event != "note" {
			break
		}
		note = e.Note
	}
	return note
}

func (j *Journal) restore(ctx context.Context, p plan.Plan, o order) string {
	switch end, err := j.child(ctx, p, o); {
	case err != nil:
		return err.Error()
	case end.Status != "" && end.Status != plan.NotNeeded:
		return end.Why
	}
	return ""
}
