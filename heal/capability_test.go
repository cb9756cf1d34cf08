package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/capability"
	"sexton.dev/plan"
)

// showing is what a step does of which the child, in these tests alone, only tells
// the capabilities that it has when its act begins.
const showing = "show the capabilities"

func showCapabilities() {
	for action, a := range acts {
		act := a.run
		a.run = func(ctx context.Context, s plan.Step, note func(any) error) error {
			if s.Does != showing {
				return act(ctx, s, note)
			}
			text, err := os.ReadFile("/proc/thread-self/status")
			_, after, _ := strings.Cut(string(text), "CapPrm:\t")
			both, _, _ := strings.Cut(after, "\nCapBnd")
			return refusal{errors.Join(err, errors.New(both))}
		}
		acts[action] = a
	}
}

// without runs f on a thread whose children can never have a capability.
func without(t *testing.T, lacks capability.Capability, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with this goroutine
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(lacks), 0, 0, 0)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Each act that lacks one of the capabilities that it needs is refused before it
// begins, and says which.
func TestLacksCapability(t *testing.T) {
	hosttest.NeedsRoot(t)
	j := openJournal(t, filepath.Join(t.TempDir(), "j"))
	for action, a := range acts {
		if len(a.needs) == 0 {
			t.Errorf("%s needs nothing", action)
		}
		for _, lacks := range a.needs {
			without(t, lacks, func() {
				out, err := j.Child(t.Context(), plan.Plan{}, plan.Step{Action: action})
				want := fmt.Sprintf("it needs %s, which this process does not have: run it as root on the host", lacks)
				if err != nil || out.Status != plan.Refused || !strings.HasPrefix(out.Why, want) {
					t.Errorf("%s without %s: %v, %q: %s", action, lacks, err, out.Status, out.Why)
				}
			})
		}
	}
	if all, err := ReadJournal(j.path); err != nil || len(all) > 0 {
		t.Errorf("something was begun: %+v, %v", all, err)
	}
}

// An act has the capabilities that its page names, of those that help which there are,
// and no other.
func TestKeepsCapabilities(t *testing.T) {
	hosttest.NeedsRoot(t)
	j := openJournal(t, filepath.Join(t.TempDir(), "j"))
	for action, a := range acts {
		bits := func(all []capability.Capability) (out uint64) {
			for _, c := range all {
				out |= 1 << c
			}
			return out
		}
		out, err := j.Child(t.Context(), plan.Plan{}, plan.Step{Action: action, Does: showing})
		var permitted, effective uint64
		_, bad := fmt.Sscanf(out.Why, "%x\nCapEff: %x", &permitted, &effective)
		if err := errors.Join(err, bad); err != nil || permitted != effective || permitted&^bits(a.helps) != bits(a.needs) {
			t.Errorf("%s: %v: it has %q, and needs %x", action, err, out.Why, bits(a.needs))
		}
	}
}
