package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

// terminal is a terminal at which somebody has typed this.
func terminal(t *testing.T, typed string) *os.File {
	t.Helper()
	hand, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hand.Close() })
	n, err := unix.IoctlGetInt(int(hand.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(hand.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if _, err := hand.WriteString(typed); err != nil {
		t.Fatal(err)
	}
	return screen
}

// Who loses the terminal interrupts a heal and does not end it, unless that is ignored.
func TestSteady(t *testing.T) {
	ctx, stop := steady(t.Context())
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx, stop = steady(t.Context())
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
		t.Error("nohup does not keep it")
	case <-time.After(50 * time.Millisecond): // as long as it takes
	}
}

// Whoever is asked sees what would be carried out, with what it affects, and nothing
// else; only yes is a yes.
func TestAsk(t *testing.T) {
	p := &healPlan{Plan: plan.Plan{Steps: []plan.Step{
		{Does: "unmount /a\x1b[2J", Risk: "safe", Status: plan.Planned, Affects: []string{"mount 7 goes along"}},
		{Does: "above", Risk: "destructive", Status: plan.Planned},
		{Does: "must not", Risk: "safe", Status: plan.Planned, Refused: "it is used"},
		{Does: "stale", Risk: "safe", Status: plan.Refused},
		{Does: "restart it", Risk: "disruptive", Status: plan.Planned},
	}}}
	const want = "  1  unmount /a\\x1b[2J (safe)\n     affects: mount 7 goes along\n  2  restart it (disruptive)\nCarry out 2 steps? [y/N] "
	for typed, yes := range map[string]bool{"y\n": true, "Yes\n": true, "\n": false, "n\n": false, "yesterday\n": false, "\x04": false} {
		var said bytes.Buffer
		s := &session{Env: Env{Stdin: terminal(t, typed), Stderr: &said}}
		if err := s.ask(p, "disruptive"); (err == nil) != yes || said.String() != want {
			t.Errorf("%q: %v\n%s", typed, err, said.String())
		}
	}
	s := &session{Env: Env{Stdin: strings.NewReader("y\n"), Stderr: &bytes.Buffer{}}}
	if err := s.ask(p, "disruptive"); err == nil || !strings.Contains(err.Error(), "standard input is no terminal") {
		t.Errorf("no terminal: %v", err)
	}
}

// Two findings of one stopped process have one step, and neither is without an act.
func TestWithout(t *testing.T) {
	h := &snapshot.Host{Processes: []snapshot.Process{{PID: 20, PPID: 1, Start: 200, Comm: "dockerd", State: snapshot.Stopped}}}
	resume := []check.Remedy{{Action: "resume-process", Risk: "safe", Targets: []check.Target{check.ProcessTarget(h.Process(20))}}}
	found := []check.Finding{{ID: "hung-task/20.200", Remedies: resume}, {ID: "runtime-hung/20.200", Remedies: resume}, {ID: "no-init/x", Title: "t"}}
	p := plan.Make(h, found)
	got := without(h, found, p.Steps)
	if len(p.Steps) != 1 || len(got) != 1 || got[0].Finding != "no-init/x" {
		t.Errorf("%d steps, nothing planned for %+v", len(p.Steps), got)
	}
}
