package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

// A Sight is what a look at the host gave.
type Sight struct {
	Host     *snapshot.Host
	Findings []check.Finding
	Unknown  []check.Unknown
}

// finding is the one with this id; nil: there is none.
func (s Sight) finding(id string) *check.Finding {
	i := slices.IndexFunc(s.Findings, func(f check.Finding) bool { return f.ID == id })
	if i < 0 {
		return nil
	}
	return &s.Findings[i]
}

// blind says why a look cannot tell whether a finding is gone, "" if it can.
func (s Sight) blind(finding string) string {
	check, _, _ := strings.Cut(finding, "/")
	for _, u := range s.Unknown {
		if u.Check == check && u.Whole {
			return u.What + ": " + u.Why
		}
	}
	return ""
}

// missing says how a step ends that a look does not give any more, for why: host is
// what was seen of its target last.
func (s Sight) missing(host *snapshot.Host, step plan.Step, why string) (plan.Status, string) {
	if blind := s.blind(step.Finding); blind != "" {
		return plan.Refused, "looked again, and it cannot be told how it is: " + blind + "; plan again: sexton heal"
	}
	if gone, _ := plan.Gone(host, step); gone || step.Round > 0 && s.finding(step.Finding) == nil {
		return plan.NotNeeded, "it is gone already"
	}
	return plan.Refused, why
}

// Foretell says how the steps of a plan's file would end that a look does not give any more.
func (s Sight) Foretell(steps []plan.Step) {
	for i := range steps {
		if st := &steps[i]; st.Status == "" {
			st.Status, st.Why = s.missing(s.Host, *st, st.Why)
		}
	}
}

// Options are what Apply needs of its caller.
type Options struct {
	Look    func(context.Context) (Sight, error)
	Glance  func(context.Context) (*snapshot.Host, error) // at mounts, who uses them, and processes alone
	Journal *Journal
	MaxRisk string
	Nested  bool             // act also from a PID namespace of its own
	Told    func(plan.Step)  // after each step's end
	Wait    func(why string) // before a wait that a person notices
}

// Apply carries out the steps of a plan, one after the other, and returns it
// with their outcomes. An error means that it stopped where it was, as when the
// journal cannot be written: nothing is done that is not written down first.
func Apply(ctx context.Context, p plan.Plan, o Options) (plan.Plan, error) {
	h := &healer{Options: o, plan: p}
	err := h.all(ctx)
	return h.plan, errors.Join(err, h.leave("it was not looked at again"))
}

func (h *healer) all(ctx context.Context) error {
	for i := range h.plan.Steps {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before step %d of %d: %w", i+1, len(h.plan.Steps), context.Cause(ctx))
		}
		if err := h.step(ctx, &h.plan.Steps[i]); err != nil {
			return err
		}
	}
	return h.judge(ctx)
}

// leave ends the steps that were done, and at which nobody looks any more.
func (h *healer) leave(why string) (ends error) {
	for _, s := range h.acted {
		because := why
		if s.Why != "" {
			because = s.Why + "; " + why
		}
		ends = errors.Join(ends, h.end(s, plan.Unverified, because))
	}
	h.acted = nil
	return ends
}

// fresh is how old the last look may be when an act begins.
const fresh = 5 * time.Second

type healer struct {
	Options
	plan  plan.Plan
	seen  Sight
	live  plan.Plan // of what was seen
	at    time.Time
	acted []*plan.Step              // since the last look; their end is not told yet
	asked map[snapshot.ID]plan.Dump // of which goroutines were asked for, and what came of it
}

// step brings one step to an outcome, or to where only another look can tell.
func (h *healer) step(ctx context.Context, s *plan.Step) error {
	if s.Status == plan.Refused {
		return h.end(s, plan.Refused, s.Why)
	}
	if err := h.see(ctx, s); err != nil {
		return err
	}
	live := plan.Again(plan.Plan{BootID: h.plan.BootID, Steps: []plan.Step{*s}}, h.live).Steps[0]
	host := h.seen.Host
	if live.Status == plan.Planned && plan.OnMounts(live) && !plan.Above(live.Risk, h.MaxRisk) {
		var err error
		if host, err = h.glance(ctx); err != nil {
			return h.noLook(err)
		}
		live = plan.Renew(host, live)
	}
	switch {
	case live.Status == "":
		status, why := h.seen.missing(host, *s, live.Why)
		return h.end(s, status, why)
	case live.Status == plan.Refused:
		return h.end(s, plan.Refused, live.Why)
	case live.Refused != "":
		return h.end(s, plan.Refused, live.Refused)
	case plan.Above(live.Risk, h.MaxRisk):
		return h.end(s, plan.Refused, fmt.Sprintf("its risk is %s; --max-risk %s allows it", live.Risk, live.Risk))
	}
	if wait := time.Until(s.NotBefore); wait > 0 {
		return h.wait(ctx, s, wait)
	}
	live.NotBefore = s.NotBefore
	*s = live
	return h.act(ctx, s)
}

// glance looks at mounts. It asks no runtime, so containers have the names that they
// had in the last whole look.
func (h *healer) glance(ctx context.Context) (*snapshot.Host, error) {
	now, err := h.Glance(ctx)
	if err == nil && ctx.Err() != nil { // as of a look
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	for i := range now.Containers {
		if c := h.seen.Host.Container(now.Containers[i].ID); c != nil {
			now.Containers[i].Name, now.Containers[i].Pod = c.Name, c.Pod
		}
	}
	return now, nil
}

// wait lets the time pass that a step's target must stay as it is, and begins again.
func (h *healer) wait(ctx context.Context, s *plan.Step, wait time.Duration) error {
	h.Wait(fmt.Sprintf("waiting %d s: %s", int(wait.Seconds())+1, s.Until))
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return h.step(ctx, s)
}

// see looks again where the last look does not tell how things are: it is too
// old, or what was done since concerns this step's finding, or may have spared it:
// a step of a later round is for what the earlier ones left. A step on mounts is
// planned anew from a look at those, so of its round one whole look is enough.
func (h *healer) see(ctx context.Context, s *plan.Step) error {
	alone := plan.OnMounts(*s)
	for _, a := range h.acted {
		if a.Finding == s.Finding && !alone || a.Round != s.Round {
			return h.judge(ctx)
		}
	}
	if h.fresh() || alone && !h.at.IsZero() {
		return nil
	}
	return h.judge(ctx)
}

func (h *healer) fresh() bool { return !h.at.IsZero() && time.Since(h.at) < fresh }

// judge looks, and says of each step that was done since the last look how it ended.
func (h *healer) judge(ctx context.Context) error {
	if len(h.acted) == 0 && h.fresh() {
		return nil
	}
	seen, err := h.Look(ctx)
	if err == nil && ctx.Err() != nil { // a look that is broken off has holes, and no error
		err = context.Cause(ctx)
	}
	if err != nil {
		return h.noLook(err)
	}
	if err := Nested(seen.Host); err != nil && !h.Options.Nested {
		return errors.Join(err, h.leave("it was not looked at again from the host's PID namespace"))
	}
	h.seen, h.live, h.at = seen, plan.Make(seen.Host, seen.Findings), time.Now()
	for len(h.acted) > 0 {
		s := h.acted[0]
		h.acted = h.acted[1:]
		if err := h.verdict(s); err != nil {
			return err
		}
	}
	return nil
}

// halfRestarted is of a restart that was cut short: stopped it is, and that is half of it.
const halfRestarted = "it has ended, and whether it was started again is not known"

// noLook ends it all where no look can be taken.
func (h *healer) noLook(err error) error {
	return errors.Join(fmt.Errorf("look again: %w", err), h.leave("it could not be looked at again: "+err.Error()))
}

func (h *healer) verdict(s *plan.Step) error {
	if why := h.seen.blind(s.Finding); why != "" {
		return h.end(s, plan.Unverified, "looked again, and it cannot be told: "+why)
	}
	gone, left := plan.Gone(h.seen.Host, *s)
	switch {
	case !gone && s.Why != "":
		return h.end(s, plan.Unverified, s.Why+"; looked again: "+left)
	case !gone:
		return h.end(s, plan.Unverified, "looked again: "+left)
	case s.Action == "restart-holder" && s.Why != "":
		return h.end(s, plan.Unverified, s.Why+"; looked again: "+halfRestarted)
	}
	if f := h.seen.finding(s.Finding); f != nil {
		return h.end(s, plan.Done, "gone; what remains: "+f.Title)
	}
	return h.end(s, plan.Done, "looked again: gone")
}

// act writes down what is about to be done, and does it.
func (h *healer) act(ctx context.Context, s *plan.Step) error {
	err := h.Journal.begin(h.plan, *s, h.evidence(s.Finding))
	if err == nil {
		err = h.dump(ctx, s)
	}
	if err != nil {
		s.Status, s.Why = plan.Refused, err.Error()
		return err
	}
	if ctx.Err() != nil {
		return h.end(s, plan.Refused, "interrupted before it began: "+context.Cause(ctx).Error())
	}
	if acts[s.Action].lasts {
		defer context.AfterFunc(ctx, func() { h.Wait("interrupted, and the act that was begun is waited for: " + s.Does) })()
	}
	out, err := h.Journal.Child(ctx, h.plan, *s)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		s.Why = "it did not return in time"
	case err != nil:
		s.Why = err.Error()
	case out.Status != "":
		return h.end(s, out.Status, out.Why)
	}
	h.acted = append(h.acted, s)
	return nil
}

func (h *healer) evidence(id string) []check.Evidence {
	f := h.seen.finding(id)
	if f == nil {
		return nil
	}
	return append([]check.Evidence{{Source: f.Check, Text: f.Title}}, f.Evidence...)
}

// end sets how a step ended, and writes it down.
func (h *healer) end(s *plan.Step, status plan.Status, why string) error {
	s.Status, s.Why = status, why
	err := h.Journal.end(h.plan, *s)
	h.Told(*s)
	return err
}
