package heal

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sexton.dev/check"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

var id = strings.Repeat("d", 64)

// dead is a look at a container that docker could not remove.
func dead() Sight {
	f := check.Finding{ID: "dead-container/" + id, Subject: check.Subject{Container: id}, Remedies: []check.Remedy{{Action: "retry-remove", Risk: "disruptive"}}}
	return Sight{Findings: []check.Finding{f}, Host: &snapshot.Host{BootID: "b1",
		Containers: []snapshot.Container{{ID: id, Runtime: "docker", State: "dead"}}, Runtimes: []snapshot.Runtime{{Kind: "docker", Socket: "/s"}}}}
}

func removed() Sight {
	return Sight{Host: &snapshot.Host{BootID: "b1", Runtimes: dead().Host.Runtimes}}
}

func mute() Sight {
	return Sight{Host: &snapshot.Host{BootID: "b1", Runtimes: []snapshot.Runtime{{Kind: "docker", Socket: "/s", Err: "no answer", Silent: true}}}}
}

func unread() Sight {
	s := removed()
	s.Unknown = []check.Unknown{{Check: "dead-container", What: "/proc", Why: "the time was over", Whole: true}}
	return s
}

// What a look did not see is not gone.
func TestNotSeen(t *testing.T) {
	for _, tt := range []struct {
		name           string
		seen           func() Sight
		turn, verdict  plan.Status
		resume, booted plan.Status
	}{
		{"gone", removed, plan.NotNeeded, plan.Done, plan.Done, plan.Done},
		{"docker is silent", mute, plan.Refused, plan.Unverified, plan.Unverified, plan.Unverified},
		{"nothing was read", unread, plan.Refused, plan.Unverified, plan.Unverified, plan.Unverified},
		{"it is there", dead, "", plan.Unverified, plan.Unverified, plan.Unverified},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := openJournal(t, filepath.Join(t.TempDir(), "j"))
			o := Options{Journal: j, MaxRisk: "disruptive", Told: func(plan.Step) {}, Look: func(context.Context) (Sight, error) { return tt.seen(), nil }}
			p := plan.Make(dead().Host, dead().Findings)
			if tt.turn != "" {
				if out, err := Apply(t.Context(), p, o); err != nil || out.Steps[0].Status != tt.turn {
					t.Errorf("its turn: %v: %q %q", err, out.Steps[0].Status, out.Steps[0].Why)
				}
			}
			s := p.Steps[0]
			h := &healer{Options: o, seen: tt.seen()}
			if err := h.verdict(&s); err != nil || s.Status != tt.verdict {
				t.Errorf("verdict: %v: %q %q", err, s.Status, s.Why)
			}
			for boot, want := range map[string]plan.Status{"b1": tt.resume, "b0": tt.booted} {
				out, err := Resume(t.Context(), j, []Entry{{Event: "begin", BootID: boot, Step: p.Steps[0]}}, tt.seen())
				if err != nil || out[0].Status != want {
					t.Errorf("resume of boot %s: %v: %q %q", boot, err, out[0].Status, out[0].Why)
				}
			}
		})
	}
}

// What is on a disk outlives a boot, and of a restart that was cut short the end of what
// was to be restarted is half.
func TestResumeHalfDone(t *testing.T) {
	pool := &snapshot.Pools{Devices: []snapshot.Mapped{{Name: "pool", Device: "253:0", Pool: &snapshot.Pool{Listed: true, Holds: []snapshot.Held{{ID: 5}}}}}}
	for _, tt := range []struct {
		boot string
		step plan.Step
		why  string
	}{
		{"b0", plan.Step{Action: "delete-thin", Target: check.Target{Name: "pool", Device: "253:0", Thin: 5}}, "the pool still holds thin device 5"},
		{"b1", plan.Step{Action: "restart-holder", Target: check.Target{PID: 1 << 22, Start: 1}}, "whether it was started again is not known"},
	} {
		j := openJournal(t, filepath.Join(t.TempDir(), "j"))
		out, err := Resume(t.Context(), j, []Entry{{Event: "begin", BootID: tt.boot, Step: tt.step}}, Sight{Host: &snapshot.Host{BootID: "b1", Pools: pool}})
		if err != nil || out[0].Status != plan.Unverified || !strings.Contains(out[0].Why, tt.why) {
			t.Errorf("%s: %v: %q %q", tt.step.Action, err, out[0].Status, out[0].Why)
		}
	}
}

// A plan's file that is only looked at says of each step that is not the host's any
// more what would come of it.
func TestForetell(t *testing.T) {
	resume := func(pid, round int, finding string) plan.Step {
		return plan.Step{Action: "resume-process", Target: check.Target{PID: pid, Start: 1}, Round: round, Finding: finding, Why: "changed"}
	}
	planned := plan.Step{Status: plan.Planned}
	steps := []plan.Step{resume(7, 0, "a/1"), resume(8, 0, "a/1"), resume(7, 1, "a/1"), resume(7, 1, "a/2"), resume(8, 0, "b/1"), planned}
	h := &snapshot.Host{Processes: []snapshot.Process{{PID: 7, Start: 1, State: snapshot.Stopped}}}
	h.Sort()
	Sight{Host: h, Findings: []check.Finding{{ID: "a/2"}}, Unknown: []check.Unknown{{Check: "b", What: "/proc", Why: "denied", Whole: true}}}.Foretell(steps)
	for i, want := range []struct {
		status plan.Status
		why    string
	}{{plan.Refused, "changed"}, {plan.NotNeeded, "it is gone already"}, {plan.NotNeeded, "it is gone already"}, {plan.Refused, "changed"},
		{plan.Refused, "looked again, and it cannot be told how it is: /proc: denied; plan again: sexton heal"}, {plan.Planned, ""}} {
		if s := steps[i]; s.Status != want.status || s.Why != want.why {
			t.Errorf("step %d: %q %q, want %q %q", i, s.Status, s.Why, want.status, want.why)
		}
	}
}

// An interrupt in the middle of a look makes nothing of what that did not see, and
// whatever was begun has its end in the journal.
func TestInterrupted(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "j"))
	ctx, cancel := context.WithCancelCause(t.Context())
	o := Options{Journal: j, MaxRisk: "disruptive", Told: func(plan.Step) {}, Look: func(context.Context) (Sight, error) {
		cancel(errors.New("interrupt"))
		return removed(), nil
	}}
	p := plan.Make(dead().Host, dead().Findings)
	out, err := Apply(ctx, p, o)
	if err == nil || !strings.Contains(err.Error(), "interrupt") || out.Steps[0].Status != plan.Planned {
		t.Errorf("%v: %q %q", err, out.Steps[0].Status, out.Steps[0].Why)
	}

	h := &healer{Options: o, plan: p, at: time.Now(), acted: []*plan.Step{&p.Steps[0]}}
	if err := h.judge(ctx); err == nil || p.Steps[0].Status != plan.Unverified || h.acted != nil {
		t.Errorf("%v: %q %q", err, p.Steps[0].Status, p.Steps[0].Why)
	}
	if all, err := ReadJournal(j.path); err != nil || len(all) != 1 || all[0].Event != "end" {
		t.Errorf("%v: %+v", err, all)
	}
}
