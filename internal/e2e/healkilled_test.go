package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// healKilled kills a heal at random moments, half of them while an act is under way.
// Nothing is left behind, --resume tells of each act that has no end, once, and the
// next heal brings about what this one would have.
func healKilled(t *testing.T) {
	trials, r := hosttest.Trials(t, 20, 200)
	h := newHost(t, slow)
	k := killer{h, r, filepath.Join(t.TempDir(), "journal"), []string{"zombies", "mount-private-root", "mount-thread", "mount-nsfs"}, 0}
	const each = 5 // trials on one set of faults
	// On a quick machine an act is short, and chance may pass by all of them: then there are more trials.
	i := 0
	for ; i < trials || i%each > 0 || k.within == 0 && i < 5*trials; i++ {
		if i%each == 0 {
			h.sexton(t, append([]string{"lab", "up", "--on-this-host", "--for", "10m"}, k.faults...)...).exits(t, clean)
		}
		k.trial(t)
		if i%each == each-1 {
			k.converges(t)
		}
		if t.Failed() {
			t.Fatalf("in trial %d", i)
		}
	}
	if t.Logf("%d of %d were killed within an act", k.within, i); k.within == 0 {
		t.Error("none was killed within an act")
	}
}

type killer struct {
	ownHost
	*rand.Rand
	journal string
	faults  []string
	within  int // trials in which an act was cut short
}

func (k *killer) words() []string {
	return []string{"heal", "--interval=100ms", "--apply", "--yes", "--nested", "--max-risk", "disruptive", "--journal", k.journal}
}

// trial starts a heal, kills it, and looks at what is left.
func (k *killer) trial(t *testing.T) {
	t.Helper()
	before := k.state(t)
	argv := slices.Concat(k.enter, []string{sexton()}, k.words())
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if healer := k.moment(ended); healer != 0 {
		syscall.Kill(healer, syscall.SIGKILL)
	} else {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it has ended, or has not begun: who was to begin it goes too
	}
	hosttest.Until(t, hang, "nothing of it runs", func() bool { return k.pid("sexton")+k.pid("sexton-act")+k.pid("nsenter") == 0 })
	after := k.state(t)
	if come := lost(spaces(after), spaces(before)); len(come) > 0 || len(after.traced) > 0 {
		t.Errorf("left behind: namespaces %q, traced %q", come, after.traced)
	}
	reaped := func(who string) bool { return strings.HasSuffix(who, " sexton-lab:orph") }
	gone := slices.DeleteFunc(lost(before.processes, after.processes), reaped)
	if closed := lost(before.files, after.files); len(gone)+len(closed) > 0 {
		t.Errorf("gone: processes %q, files %q", gone, closed)
	}

	open := k.unfinished(t)
	k.within += min(1, len(open))
	told := k.sexton(t, "heal", "--resume", "--interval=100ms", "--journal", k.journal, "-o", "json").exits(t, clean, unhealed)
	var p healPlan
	if err := json.Unmarshal([]byte(told.stdout), &p); err != nil {
		t.Fatal(err, told)
	}
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, s.ID)
		if s.Status != "done" && s.Status != "unverified" || !strings.HasPrefix(s.Why, "cut short, and ") {
			t.Errorf("%s is %s: %s", s.Does, s.Status, s.Why)
		}
	}
	if slices.Sort(steps); !slices.Equal(steps, open) {
		t.Errorf("told of %q, cut short are %q", steps, open)
	}
	k.sexton(t, "heal", "--resume", "--interval=100ms", "--journal", k.journal).exits(t, clean).says(t, "No act was cut short.")
}

// moment returns at a random one, while an act is under way or whenever, with the
// healer: it is looked for beforehand, since that may take longer than an act.
func (k *killer) moment(ended <-chan error) (healer int) {
	end := time.After(time.Duration(k.IntN(1500)) * time.Millisecond)
	act := k.IntN(2) == 0
	upTo := k.begun() + k.IntN(3) // acts that are let go by
	for {
		select {
		case <-ended:
			return 0
		case <-end:
			if !act {
				return healer
			}
			end = nil
		case <-time.After(time.Millisecond):
		}
		if healer == 0 {
			healer, _ = k.find(k.pid("sexton"))
		}
		if act && k.begun() > upTo {
			time.Sleep(10 * time.Millisecond >> k.IntN(8)) // acts take different times, on this machine and on others
			return healer
		}
	}
}

// begun counts the acts that the journal has the beginning of. It is there before
// the act's process is, which may have ended before it is found.
func (k *killer) begun() int {
	text, _ := os.ReadFile(k.journal) // there is none yet
	return bytes.Count(text, []byte(`"event":"begin"`))
}

// unfinished lists the steps that have a begin in the journal and no end, in order.
func (k *killer) unfinished(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(k.journal)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var e struct {
			Event string
			Step  struct{ ID string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		switch e.Event {
		case "begin":
			open[e.Step.ID] = true
		case "end":
			delete(open, e.Step.ID)
		}
	}
	return slices.Sorted(maps.Keys(open))
}

// spaces are the mount namespaces of a state.
func spaces(s state) map[string]bool {
	out := map[string]bool{}
	for line := range s.mounts {
		space, _, _ := strings.Cut(line, " ")
		out[space] = true
	}
	return out
}

// converges heals without being killed, and takes the faults down.
func (k *killer) converges(t *testing.T) {
	t.Helper()
	p := k.sexton(t, append(k.words(), "-o", "json")...).exits(t, clean).plan(t)
	if len(p.is("done"))+len(p.is("not-needed")) != len(p.Steps) {
		t.Error(p.run)
	}
	want := map[string]bool{}
	for _, f := range labFaults(t, k.world) {
		for _, r := range f.Remains {
			if check, _, _ := strings.Cut(r, ": "); slices.Contains(k.faults, f.Name) {
				want[check] = true
			}
		}
	}
	r := k.sexton(t, "scan", "--interval=100ms", "-o", "json").exits(t, clean, findings).report(t)
	for _, f := range r.Findings {
		leak := f.Check == "leaked-mount" && f.Severity != "info" // that a mount of a container at work will stay is one
		if !want[f.Check] || leak {
			t.Errorf("left: %s%s", fmt.Sprint(f.ID), r.titles())
		}
	}
	k.sexton(t, "lab", "down").exits(t, clean)
}
