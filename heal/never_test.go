package heal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

// A kernel thread is never signalled, and nobody reaps in its place.
func TestKernelThread(t *testing.T) {
	hosttest.NeedsRoot(t)
	hosttest.NeedsKernelThreads(t)
	text, err := os.ReadFile("/proc/2/stat")
	if err != nil {
		t.Fatal(err)
	}
	stat, err := procfs.ParseStat(text)
	if err != nil {
		t.Fatal(err)
	}
	for action, says := range map[string]string{
		"resume-process":    "there is nothing to resume",
		"nudge-parent":      "it has no handler for SIGCHLD",
		"reap-by-ptrace":    "process 2 is a thread of the kernel",
		"end-runtime-child": "whose child it is was not named",
	} {
		s := plan.Step{Action: action, Target: check.Target{PID: 2, Start: stat.Start, Children: []snapshot.ID{{PID: 3, Start: 1}}}}
		o, err := openJournal(t, filepath.Join(t.TempDir(), "j")).Child(t.Context(), plan.Plan{}, s) // the act gives capabilities up
		if err != nil || o.Status != plan.Refused || !strings.Contains(o.Why, says) {
			t.Errorf("%s: %v, %s: %s", action, err, o.Status, o.Why)
		}
	}
}
