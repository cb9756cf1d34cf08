package heal

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

// dumpingVariable makes the test binary a dockerd with that exec root.
const dumpingVariable = "SEXTON_HEAL_DOCKERD"

// playDockerd writes a dump at each SIGUSR1, unless its exec root is none.
func playDockerd(dir string) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGUSR1)
	fmt.Println("ready")
	for range c {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("goroutine-stacks-%d.log", time.Now().UnixNano())), []byte("goroutine 7 [chan receive]:\nmain.main()\n"), 0o600)
	}
}

// newDockerd starts one, of which the step's plan says so.
func newDockerd(t *testing.T, execRoot string) plan.Dump {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	exe := filepath.Join(t.TempDir(), "dockerd")
	if err == nil {
		err = os.WriteFile(exe, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "--exec-root", execRoot, "--data-root", "/none", "--config-file=/none")
	c.Env = append(os.Environ(), dumpingVariable+"="+execRoot)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	return dumpOf(statOf(t, c.Process.Pid))
}

func dumpOf(s procfs.Stat) plan.Dump { return plan.Dump{PID: s.PID, Start: s.Start, Comm: s.Comm} }

// A step's dumps are kept before its act, and whoever gives none has a reason and
// stops nothing. The signal goes to nobody whom it could kill.
func TestActDumps(t *testing.T) {
	s := newFifoScene(t, procfs.Stat{PID: 1 << 22, Start: 1})
	speaks, halted, silent := newDockerd(t, t.TempDir()), newDockerd(t, t.TempDir()), newDockerd(t, "/none")
	if err := syscall.Kill(halted.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, 10*time.Second, "it stops", func() bool { return statOf(t, halted.PID).State == 'T' })
	bystander := dumpOf(sleeper(t, "dockerd"))
	another := speaks
	another.Start++
	all := []plan.Dump{speaks, halted, silent, bystander, another}
	reasons := []string{"", "it is stopped (state T) and writes no dump", "wrote none in time", "which is none of dockerd", "the one that has the number now"}

	path := filepath.Join(t.TempDir(), "j")
	h := &healer{Options: Options{Journal: openJournal(t, path), Told: func(plan.Step) {}}}
	step := plan.Step{ID: "1", Action: "unblock-exec-fifo", Target: s.target, Dumps: all}
	began := time.Now()
	if err := h.act(t.Context(), &step); err != nil || step.Why != "" {
		t.Fatalf("%v: %s: %s", err, step.Status, step.Why)
	}
	if took := time.Since(began); took > readWithin+2*time.Second {
		t.Errorf("it took %v", took)
	}
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Error("the reader was not let go")
	}
	for i, d := range step.Dumps {
		if !strings.Contains(d.Why, reasons[i]) || (d.Why == "") != (reasons[i] == "") || (d.File == "") != (i > 0) || d.PID != all[i].PID {
			t.Errorf("%+v, want %q", d, reasons[i])
		}
	}
	if text, err := os.ReadFile(step.Dumps[0].File); err != nil || !strings.Contains(string(text), "goroutine 7 [chan receive]") || filepath.Dir(step.Dumps[0].File) != path+".dumps" {
		t.Errorf("%s: %q, %v", step.Dumps[0].File, text, err)
	}
	if all[0].File != "" {
		t.Error("the look's own step was changed")
	}
	if state := statOf(t, bystander.PID).State; state != 'S' {
		t.Errorf("the bystander is in state %c", state)
	}
	entries, err := ReadJournal(path)
	if err != nil || len(entries) < 3 || entries[0].Event != "begin" || entries[1].Event != "note" || !strings.Contains(string(entries[1].Note), filepath.Base(step.Dumps[0].File)) ||
		!slices.Equal(entries[1].Step.Dumps, step.Dumps) || !strings.Contains(string(entries[2].Note), "exec.fifo") {
		t.Errorf("%v: %+v", err, entries)
	}
	left, _ := filepath.Glob(path + ".dumps/*")
	if len(left) != 1 {
		t.Errorf("kept: %q", left)
	}

	t.Run("not asked again", func(t *testing.T) {
		next := plan.Step{Action: "unblock-exec-fifo", Dumps: []plan.Dump{speaks, silent}}
		began := time.Now()
		if err := h.dump(t.Context(), &next); err != nil || next.Dumps[0] != step.Dumps[0] || next.Dumps[1] != step.Dumps[2] || time.Since(began) > dumpWithin/2 {
			t.Errorf("%v: %+v after %v", err, next.Dumps, time.Since(began))
		}
	})
}

// Some processes at most are asked in one heal, and none whose dump could not be kept.
func TestDumpBounds(t *testing.T) {
	hosttest.NeedsRoot(t)
	path := filepath.Join(t.TempDir(), "j")
	h := &healer{Options: Options{Journal: openJournal(t, path)}, asked: map[snapshot.ID]plan.Dump{}}
	var step plan.Step
	for i := range maxAsked + 2 {
		step.Dumps = append(step.Dumps, plan.Dump{PID: 1<<22 + i, Start: 1, Comm: "dockerd"})
	}
	if err := h.dump(t.Context(), &step); err != nil || len(h.asked) != maxAsked {
		t.Errorf("%v, %d asked", err, len(h.asked))
	}
	for i, d := range step.Dumps {
		if want := "has ended"; !strings.Contains(d.Why, want) && (i < maxAsked || d.Why != "not asked: 16 processes were asked in this heal") {
			t.Errorf("%d: %+v", i, d)
		}
	}

	if err := os.RemoveAll(path + ".dumps"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".dumps", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	h.asked = nil
	step.Dumps = []plan.Dump{newDockerd(t, root)}
	if err := h.dump(t.Context(), &step); err != nil || !strings.Contains(step.Dumps[0].Why, "not asked: ") || step.Dumps[0].File != "" {
		t.Errorf("%v: %+v", err, step.Dumps)
	}
	if wrote, _ := filepath.Glob(root + "/*"); len(wrote) > 0 {
		t.Errorf("it was asked: %q", wrote)
	}
}

// Told to end while it waits for a dump, nothing is done.
func TestActInterrupted(t *testing.T) {
	s := newFifoScene(t, procfs.Stat{PID: 1 << 22, Start: 1})
	path := filepath.Join(t.TempDir(), "j")
	h := &healer{Options: Options{Journal: openJournal(t, path), Told: func(plan.Step) {}}}
	step := plan.Step{ID: "1", Action: "unblock-exec-fifo", Target: s.target, Dumps: []plan.Dump{newDockerd(t, "/none")}}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := h.act(ctx, &step); err != nil || step.Status != plan.Refused || !strings.Contains(step.Why, "interrupted before it began") || len(h.acted) > 0 {
		t.Errorf("%v: %s: %s", err, step.Status, step.Why)
	}
	if wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", s.target.PID)); string(wchan) != "wait_for_partner" {
		t.Error("the reader was let go")
	}
	if all, err := ReadJournal(path); err != nil || len(Unfinished(all)) > 0 {
		t.Errorf("%v: %+v", err, all)
	}
}
