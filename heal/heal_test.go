package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/check"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
	"sexton.dev/runtimes/stackdump"
	"sexton.dev/snapshot"
)

func TestMain(m *testing.M) {
	if IsChild(os.Args[1:]) {
		showCapabilities()
		os.Exit(ChildMain(os.Stdin, os.Stdout, os.Stderr))
	}
	if stackdump.IsChild(os.Args[1:]) {
		os.Exit(stackdump.ChildMain(os.Args[1:], os.Stdout))
	}
	if dir := os.Getenv(dumpingVariable); dir != "" {
		playDockerd(dir)
		return
	}
	os.Exit(m.Run())
}

// A stopped is a process that was stopped, as a look shows it.
type stopped struct {
	t   *testing.T
	pid int
	id  snapshot.ID
}

func newStopped(t *testing.T) *stopped {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s := &stopped{t: t, pid: cmd.Process.Pid}
	hosttest.Until(t, 10*time.Second, "the process to stop", func() bool { return s.stat().State == 'T' })
	s.id = snapshot.ID{PID: s.pid, Start: s.stat().Start}
	return s
}

func (s *stopped) stat() procfs.Stat { return statOf(s.t, s.pid) }

func statOf(t *testing.T, pid int) procfs.Stat {
	t.Helper()
	st, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// switchesOf is how often a process's first thread has run.
func switchesOf(t *testing.T, pid int) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	st, err := procfs.ParseStatus(text)
	if err != nil {
		t.Fatal(err)
	}
	return st.Voluntary + st.Forced
}

// look is the host as far as this process goes, with a finding while it is stopped.
func (s *stopped) look() Sight {
	p := snapshot.Process{PID: s.pid, Start: s.id.Start, Comm: "sleep", State: snapshot.State(string(s.stat().State)),
		Tasks: []snapshot.Task{{TID: s.pid, Switches: switchesOf(s.t, s.pid)}}}
	h := &snapshot.Host{BootID: "b", Taken: time.Now().Add(-time.Hour), Processes: []snapshot.Process{p}}
	out := Sight{Host: h}
	if p.State == snapshot.Stopped {
		out.Findings = []check.Finding{{ID: "hung-task/1", Check: "hung-task", Title: "sleep is stopped",
			Remedies: []check.Remedy{{Action: "resume-process", Risk: "safe", Targets: []check.Target{check.ProcessTarget(&p)}}}}}
	}
	return out
}

// apply carries out the plan of a first look, with others after it.
func apply(t *testing.T, s *stopped, maxRisk string, change func(look int, s *Sight) error) (plan.Step, []Entry, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := openJournal(t, path)
	first := s.look()
	p := plan.Make(first.Host, first.Findings)
	if len(p.Steps) != 1 {
		t.Fatalf("planned %+v", p.Steps)
	}
	looks := 0
	done, err := Apply(t.Context(), p, Options{Journal: j, MaxRisk: maxRisk, Told: func(plan.Step) {}, Wait: func(string) {},
		Look: func(context.Context) (Sight, error) {
			looks++
			seen := s.look()
			err := change(looks, &seen)
			return seen, err
		}})
	all, bad := ReadJournal(path)
	if bad != nil {
		t.Error(bad)
	}
	return done.Steps[0], all, err
}

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		name    string
		maxRisk string
		change  func(look int, s *Sight) error
		status  plan.Status
		why     string
		runs    bool // it was resumed
		events  string
	}{
		{"done", "safe", func(int, *Sight) error { return nil }, plan.Done, "looked again: gone", true, "begin end"},
		{"something remains", "safe", func(look int, s *Sight) error {
			s.Findings = append(s.Findings, check.Finding{ID: "hung-task/1", Title: "another thread"})
			return nil
		}, plan.Done, "what remains: another thread", true, "begin end"},
		{"gone before its turn", "safe", func(_ int, s *Sight) error { *s = Sight{Host: &snapshot.Host{BootID: "b"}}; return nil }, plan.NotNeeded, "gone already", false, "end"},
		{"another process by now", "safe", func(_ int, s *Sight) error { s.Findings[0].Remedies[0].Targets[0].Start++; return nil }, plan.Refused, "another target now", false, "end"},
		{"it ran meanwhile", "safe", func(_ int, s *Sight) error { s.Host.Processes[0].Tasks[0].Switches++; return nil }, plan.Refused, "has run since it was planned", false, "end"},
		{"a higher risk by now", "safe", func(_ int, s *Sight) error { s.Findings[0].Remedies[0].Risk = "disruptive"; return nil }, plan.Refused, "its risk is disruptive now", false, "end"},
		{"booted since", "safe", func(_ int, s *Sight) error { s.Host.BootID = "c"; return nil }, plan.Refused, "before the last boot", false, "end"},
		{"not read before", "safe", func(_ int, s *Sight) error {
			s.Host.Processes, s.Findings = nil, nil
			s.Unknown = []check.Unknown{{Check: "hung-task", What: "/proc", Why: "denied", Whole: true}}
			return nil
		}, plan.Refused, "cannot be told how it is: /proc: denied", false, "end"},
		{"not read after", "safe", func(look int, s *Sight) error {
			if look > 1 {
				s.Unknown = []check.Unknown{{Check: "hung-task", What: "/proc", Why: "denied", Whole: true}}
			}
			return nil
		}, plan.Unverified, "it cannot be told: /proc: denied", true, "begin end"},
		{"no second look", "safe", func(look int, s *Sight) error {
			if look > 1 {
				return errors.New("the host is gone")
			}
			return nil
		}, plan.Unverified, "the host is gone", true, "begin end"},
		{"it did not help", "safe", func(look int, s *Sight) error { s.Host.Processes[0].State = snapshot.Stopped; return nil }, plan.Unverified, "it is still stopped", true, "begin end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hosttest.NeedsRoot(t) // the child gives capabilities up
			s := newStopped(t)
			step, entries, err := apply(t, s, tt.maxRisk, tt.change)
			if step.Status != tt.status || !strings.Contains(step.Why, tt.why) {
				t.Errorf("%s: %q (%v)", step.Status, step.Why, err)
			}
			var events []string
			for _, e := range entries {
				events = append(events, e.Event)
			}
			if got := strings.Join(events, " "); got != tt.events {
				t.Errorf("the journal has %q, want %q", got, tt.events)
			}
			if runs := s.stat().State != 'T'; runs != tt.runs {
				t.Errorf("it runs: %v", runs)
			}
		})
	}
}

// From a PID namespace of its own nothing is done, unless that is asked for.
func TestApplyNested(t *testing.T) {
	hosttest.NeedsRoot(t)
	s := newStopped(t)
	look := func() Sight {
		seen := s.look()
		seen.Host.Nested = true
		return seen
	}
	first := look()
	path := filepath.Join(t.TempDir(), "j")
	o := Options{Journal: openJournal(t, path), MaxRisk: "safe", Told: func(plan.Step) {}, Wait: func(string) {},
		Look: func(context.Context) (Sight, error) { return look(), nil }}
	p := plan.Make(first.Host, first.Findings)
	var nested *NestedError
	done, err := Apply(t.Context(), p, o)
	if !errors.As(err, &nested) || done.Steps[0].Status != plan.Planned || s.stat().State != 'T' {
		t.Errorf("%v: %+v", err, done.Steps[0])
	}
	if all, err := ReadJournal(path); err != nil || len(all) > 0 {
		t.Errorf("the journal has %+v, %v", all, err)
	}
	o.Nested = true
	if done, err := Apply(t.Context(), p, o); err != nil || done.Steps[0].Status != plan.Done {
		t.Errorf("asked for: %v: %+v", err, done.Steps[0])
	}
}

// A risk above the one that is allowed is not taken, and the step says how it would be.
func TestApplyRisk(t *testing.T) {
	s := newStopped(t)
	first := s.look()
	first.Findings[0].Remedies[0].Risk = "disruptive"
	p := plan.Make(first.Host, first.Findings)
	done, err := Apply(t.Context(), p, Options{Journal: openJournal(t, filepath.Join(t.TempDir(), "j")), MaxRisk: "safe", Told: func(plan.Step) {}, Wait: func(string) {},
		Look: func(context.Context) (Sight, error) { return first, nil }})
	if err != nil || done.Steps[0].Status != plan.Refused || !strings.Contains(done.Steps[0].Why, "--max-risk disruptive allows it") || s.stat().State != 'T' {
		t.Errorf("%v: %+v", err, done.Steps[0])
	}
}

// Nothing is done that could not be written down before.
func TestApplyWithoutJournal(t *testing.T) {
	s := newStopped(t)
	first := s.look()
	j := openJournal(t, filepath.Join(t.TempDir(), "j"))
	j.Close()
	done, err := Apply(t.Context(), plan.Make(first.Host, first.Findings), Options{Journal: j, MaxRisk: "safe", Told: func(plan.Step) {}, Wait: func(string) {},
		Look: func(context.Context) (Sight, error) { return s.look(), nil }})
	if !notWritten(err) || done.Steps[0].Status != plan.Refused || s.stat().State != 'T' {
		t.Errorf("%v: %+v", err, done.Steps[0])
	}
}
