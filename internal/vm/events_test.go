//go:build vm

package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// withMemory lets groups below the root have memory limits, as systemd does.
func withMemory(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
		t.Fatal(err)
	}
}

// A told is a finding with its words.
type told struct {
	Check, Severity, Title, Cause string
	Subject                       struct{ Container string }
	Evidence                      []struct{ Source, Text string }
}

// found is what sexton finds of a fault's container by one check.
func found(t *testing.T, fault, check string) (out []told) {
	t.Helper()
	var r struct{ Findings []told }
	sexton(t, "scan", "--interval=300ms", "--check", check, "--fail-on", "critical", "-o", "json", "--timeout", "60s").decodes(t, &r)
	for _, f := range r.Findings {
		if f.Subject.Container == idOf(fault, "app") {
			out = append(out, f)
		}
	}
	return out
}

func (r run) decodes(t *testing.T, into any) {
	t.Helper()
	if r.code != 0 && r.code != 3 && r.code != 4 {
		t.Fatal(r)
	}
	r.exits(t, r.code, into)
}

// A kill in a group of version 2 is told by the kernel's log and counted by the group.
func TestKill(t *testing.T) {
	withMemory(t)
	up(t, "oom-container")
	all := found(t, "oom-container", "oom-container")
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	f := all[0]
	if f.Severity != "warning" || !strings.Contains(f.Title, "the kernel killed sexton-lab:eat (pid ") || !strings.Contains(f.Cause, "16 MiB") {
		t.Errorf("%+v", f)
	}
	counted := false
	for _, e := range f.Evidence {
		counted = counted || strings.HasPrefix(e.Source, "memory cgroup ") && strings.HasPrefix(e.Text, "1 kill so far, limit 16 MiB")
	}
	if !counted {
		t.Errorf("memory.events is not told: %+v", f.Evidence)
	}
}

// A start that waits for an init that was killed is found and let go.
func TestStartHangs(t *testing.T) {
	withMemory(t)
	up(t, "oom-init")
	until(t, "the start hangs for long enough", func() bool { return len(found(t, "oom-init", "exec-fifo")) == 1 })
	until(t, "what the kill left blocked is told", func() bool {
		all := found(t, "oom-init", "oom-runtime")
		return len(all) == 1 && all[0].Severity == "critical"
	})
	heal(t, "exec-fifo", "unblock-exec-fifo")
	if all := found(t, "oom-init", "exec-fifo"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// A group that is frozen by version 2's freezer is found and thawed.
func TestFrozenGroup(t *testing.T) {
	up(t, "frozen")
	if all := found(t, "frozen", "hung-task"); len(all) != 1 || !strings.Contains(all[0].Title, "is frozen") {
		t.Fatalf("%+v", all)
	}
	heal(t, "hung-task", "thaw")
	if all := found(t, "frozen", "hung-task"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// until waits for what an emulator may be too slow to show at once: a command line that
// is not read in 0.3 s is not told.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

// heal applies what a check's findings ask for; the one step must be this action, and done.
func heal(t *testing.T, check, action string) {
	t.Helper()
	var p steps
	until(t, "heal has a step", func() bool {
		p = steps{}
		sexton(t, "heal", "--interval=300ms", "--check", check, "--apply", "--yes", "--max-risk", "disruptive", "--journal", filepath.Join(t.TempDir(), "journal"), "-o", "json").decodes(t, &p)
		return len(p.Steps) > 0
	})
	if len(p.Steps) != 1 || p.Steps[0].Action != action || p.Steps[0].Status != "done" {
		t.Errorf("%+v", p.Steps)
	}
}
