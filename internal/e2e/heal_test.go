package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// unhealed is the exit code of a heal of which something was refused or did not help.
const unhealed = 5

// slow is more than any heal may take that need not wait.
const slow = 40 * time.Second

// quick is the time between two looks.
const quick = "--interval=300ms"

// A step and a plan are the JSON that heal prints, by its contract.
type step struct {
	ID, Finding, Action, Risk, Does, Command, Status, Why, Refused string

	Target struct {
		Kind     string
		PID      int
		Start    uint64
		Mount    uint64
		Mounts   []uint64
		Children []struct{ PID int }

		Container, Path string
		PathBytes       []byte
	}
	Holds, Then, Affects []string
	Dumps                []struct {
		PID             int
		Comm, File, Why string
	}
}

type healPlan struct {
	APIVersion, Kind, ID, BootID string

	Steps     []step
	Unplanned []struct{ Finding string }
	Unknown   []struct{ Check, What, Why string }
	journal   string // of one that was carried out
	run
}

func (r run) plan(t testing.TB) healPlan {
	t.Helper()
	p := healPlan{run: r}
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil || p.APIVersion != "sexton/v1" || p.Kind != "Plan" || p.BootID == "" {
		t.Fatalf("no plan: %v\n%s", err, r)
	}
	return p
}

// is lists the steps with a status.
func (p healPlan) is(status string) (out []step) {
	for _, s := range p.Steps {
		if s.Status == status {
			out = append(out, s)
		}
	}
	return out
}

// A labFault is what lab list says of a fault.
type labFault struct {
	Name, State, Risk string
	Remains, Want     []string
}

func labFaults(t *testing.T, w world) (items []labFault) {
	t.Helper()
	var list struct{ Items []labFault }
	if err := json.Unmarshal([]byte(w.sexton(t, "lab", "status", "-o", "json").exits(t, clean).stdout), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// Heal ends every fault of the lab, and nothing else; what it must not do it refuses.
func TestHeal(t *testing.T) {
	sandboxed(t)
	faults := slices.DeleteFunc(labFaults(t, world{}), func(f labFault) bool {
		return isRuntimeFault(f.Name) || strings.HasPrefix(f.Name, "thin-pool") // they have tests of their own, these in a kernel of its own: internal/vm
	})
	if len(faults) < 11 {
		t.Errorf("%d faults", len(faults))
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	run := func(f labFault) { t.Run(f.Name, func(t *testing.T) { healFault(t, f) }) }
	for _, f := range faults {
		if f.Name == stuck { // a stop counts after a minute: meanwhile the others run
			beside.Go(func() { run(f) })
		}
	}
	beside.Go(func() { t.Run("killed", healKilled) })
	for _, f := range faults {
		if f.Name != stuck {
			run(f)
		}
	}
	t.Run("refuses", healRefuses)
}

const stuck = "stuck-reader"

// healFault makes a fault on a host of its own, plans, heals and looks at what is left.
func healFault(t *testing.T, f labFault) {
	patience := slow
	if f.Name == stuck {
		hosttest.Needs(t, "fuse", fileExists("/dev/fuse"), "modprobe fuse")
		patience += time.Minute
	}
	h := newHost(t, patience)
	h.sexton(t, "lab", "up", f.Name, "--on-this-host", "--for", "3m").exits(t, clean)
	t.Cleanup(func() { h.sexton(t, "lab", "down") })
	awaitFound(t, h, f)
	before := h.state(t)

	p := h.sexton(t, "heal", quick, "-o", "json").exits(t, clean).plan(t)
	planned := h.state(t)
	same(t, "planned", before, planned, f.Name == "zombies", nil)
	for _, s := range p.Steps {
		if s.Status != "planned" || s.Does == "" || len(s.Then) == 0 || s.Risk == "destructive" {
			t.Errorf("step %+v", s)
		}
	}

	journal := filepath.Join(t.TempDir(), "journal")
	risk := f.Risk
	if risk == "" {
		risk = "disruptive" // and all the same it does nothing
	}
	done := h.sexton(t, "heal", quick, "--apply", "--yes", "--max-risk", risk, "--journal", journal, "-o", "json").exits(t, clean, unhealed).plan(t)
	checkOutcome(t, f, done)
	same(t, "healed", planned, h.state(t), f.Name == "zombies", done.Steps)
	checkJournal(t, journal, done.Steps)
	remains(t, h, f)
}

// awaitFound waits until sexton finds what a fault says: a start that hangs counts
// when it is 10 s old.
func awaitFound(t *testing.T, h ownHost, f labFault) {
	t.Helper()
	if f.Name != "oom-init" {
		return
	}
	hosttest.Until(t, soon, "the start hangs for long enough", func() bool {
		r := h.sexton(t, "scan", quick, "--check", "exec-fifo", "-o", "json").exits(t, clean, findings)
		return len(r.report(t).Findings) > 0
	})
}

// ends are the acts by which the process that waits ends.
var ends = []string{"abort-fuse", "unblock-exec-fifo"}

// same fails the test unless two states are equal, but for what steps say that
// they did. With grows, processes may have come.
func same(t *testing.T, when string, before, after state, grows bool, did []step) {
	t.Helper()
	gone := func(line string) bool {
		return slices.ContainsFunc(did, func(s step) bool {
			return s.Status == "done" && s.Target.Mount != 0 && strings.Contains(line, fmt.Sprintf(" %d ", s.Target.Mount))
		})
	}
	reaped := func(who string) bool {
		_, comm, _ := strings.Cut(who[strings.IndexByte(who, ' ')+1:], " ")
		if slices.Contains([]string{"runc", "sexton-lab:read"}, comm) && slices.ContainsFunc(did, func(s step) bool { return s.Status == "done" && slices.Contains(ends, s.Action) }) {
			return true
		}
		return slices.ContainsFunc(did, func(s step) bool {
			return s.Status == "done" && slices.ContainsFunc(s.Target.Children, func(c struct{ PID int }) bool { return strings.HasPrefix(who, fmt.Sprintf("%d ", c.PID)) })
		})
	}
	if left := slices.DeleteFunc(lost(before.mounts, after.mounts), gone); len(left) > 0 {
		t.Errorf("%s: these mounts are gone:\n%s", when, strings.Join(left, "\n"))
	}
	if left := slices.DeleteFunc(lost(before.processes, after.processes), reaped); len(left) > 0 {
		t.Errorf("%s: these processes are gone:\n%s", when, strings.Join(left, "\n"))
	}
	ended := func(file string) bool {
		who := strings.Join(strings.Fields(file)[:3], " ")
		return !after.processes[who] && reaped(who)
	}
	if left := slices.DeleteFunc(lost(before.files, after.files), ended); len(left) > 0 {
		t.Errorf("%s: these files are not open any more:\n%s", when, strings.Join(left, "\n"))
	}
	come := slices.Concat(lost(after.mounts, before.mounts), lost(after.files, before.files))
	if !grows {
		come = append(come, lost(after.processes, before.processes)...)
	}
	if len(come)+len(after.traced) > 0 {
		t.Errorf("%s: this is new:\n%s\ntraced: %q", when, strings.Join(come, "\n"), after.traced)
	}
}

// checkOutcome compares how the steps ended with what the fault says.
func checkOutcome(t *testing.T, f labFault, p healPlan) {
	t.Helper()
	refused := p.is("refused")
	if done := p.is("done"); len(done) > 0 != (f.Risk != "") || len(done)+len(p.is("not-needed"))+len(refused) != len(p.Steps) {
		t.Errorf("%s", p.run)
	}
	if (len(refused) > 0) != (p.code == unhealed) {
		t.Errorf("%d refused, and exit %d", len(refused), p.code)
	}
	for _, s := range refused { // only what the fault says remains, for that reason
		check, _, _ := strings.Cut(s.Finding, "/")
		if !slices.ContainsFunc(f.Remains, func(r string) bool { return strings.HasPrefix(r, check+": ") && strings.HasSuffix(r, ": "+s.Why) }) {
			t.Errorf("%s: %s of %s: %s", s.Does, s.Status, s.Finding, s.Why)
		}
	}
}

// checkJournal fails the test unless each step has its end, and before it, if it was
// begun, one begin with what was seen.
func checkJournal(t *testing.T, file string, steps []step) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && len(steps) > 0 {
		t.Fatal(err)
	}
	events := map[string]string{} // of a step's id
	for line := range strings.Lines(string(text)) {
		var e struct {
			Event, BootID, Plan string
			Step                step
			Evidence            []struct{ Text string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.BootID == "" || e.Plan == "" || e.Event == "begin" && len(e.Evidence) == 0 {
			t.Errorf("%v: %s", err, line)
		}
		events[e.Step.ID] += e.Event + " " + e.Step.Status + ";"
	}
	for _, s := range steps {
		want := "end " + s.Status + ";"
		if s.Status == "done" {
			want = "begin planned;" + want
		}
		if got := strings.ReplaceAll(events[s.ID], "note planned;", ""); got != want {
			t.Errorf("%s: journal has %q, want %q", s.Does, got, want)
		}
		delete(events, s.ID)
	}
	if len(events) > 0 {
		t.Errorf("the journal has more: %v", events)
	}
}

// remains fails the test unless a scan finds what the fault says that remains, and no more.
func remains(t *testing.T, h ownHost, f labFault) {
	t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	for _, r := range f.Remains {
		check, _, _ := strings.Cut(r, ": ")
		want[check] = true
	}
	r := h.sexton(t, "scan", quick, "-o", "json").exits(t, clean, findings).report(t)
	for _, f := range r.Findings {
		got[f.Check] = true
	}
	if left := slices.Concat(lost(want, got), lost(got, want)); len(left) > 0 {
		t.Errorf("remains: want %v, got%s", f.Remains, r.titles())
	}
	for _, now := range labFaults(t, h.world) {
		if now.Name == f.Name && now.State != "up" && now.State != "healed" {
			t.Errorf("lab: %s", now.State)
		}
	}
}
