package harm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sexton.dev/check"
	"sexton.dev/heal"
	"sexton.dev/holding"
	"sexton.dev/internal/hosttest"
	"sexton.dev/plan"
	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

// TestNoHarm makes random hosts, heals their mounts step by step and compares
// what is gone after each with what the plan said. SEXTON_SEED repeats a run.
func TestNoHarm(t *testing.T) {
	n, seed := hosttest.Trials(t, 150, 5_000)
	r := ask(t, order{"mounts", n, seed.Uint64()}, time.Minute+time.Duration(n)*300*time.Millisecond)
	r.tell(t)
	if r.Counts["acts done"] < n/4 {
		t.Errorf("only %d acts could be done: the topologies are not what they should be", r.Counts["acts done"])
	}
}

// journalFile is on the root of the trials.
const journalFile = "/journal"

// mountTrials makes the hosts of an order, each from a seed of its own.
func mountTrials(h *host, o order, r *report) error {
	journal, err := heal.OpenJournal(journalFile)
	if err != nil {
		return err
	}
	defer journal.Close()
	seeds := rand.New(rand.NewPCG(o.Seed, 1))
	for range o.N {
		tr := trial{host: h, report: r, journal: journal, seed: seeds.Uint64(), tried: map[string]bool{}}
		if err := tr.run(); err != nil {
			return fmt.Errorf("seed %d: %w\n%s", tr.seed, err, strings.Join(h.story, "; "))
		}
		if err := os.Truncate(journalFile, 0); err != nil {
			return err
		}
	}
	return nil
}

// A trial is one host and the acts on it.
type trial struct {
	*host
	*report
	journal *heal.Journal
	seed    uint64
	tried   map[string]bool // steps, by id
	device  string          // the superblock that the step's finding is about
}

// most mounts that a trial may have: a few recursive binds make thousands.
const mostMounts, mostActs = 400, 6

func (tr *trial) run() error {
	defer tr.end()
	if err := tr.begin(); err != nil {
		return err
	}
	d := &drawer{Rand: rand.New(rand.NewPCG(tr.seed, 2)), h: tr.host}
	d.story(4 + d.IntN(9))
	before, found, err := tr.look()
	if err != nil {
		return err
	}
	if len(tableOf(before)) > mostMounts {
		tr.Counts["hosts with too many mounts"]++
		return nil
	}
	tr.Counts["hosts"]++
	tr.Counts["mounts"] += len(tableOf(before))
	for range mostActs {
		s, ok := tr.next(plan.Make(before, found))
		if !ok {
			return nil
		}
		said := predict(before, s)
		tr.device = deviceOf(found, s)
		out, err := tr.journal.Child(context.Background(), plan.Plan{}, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Does, err)
		}
		after, again, err := tr.look()
		if err != nil {
			return err
		}
		if !tr.compare(before, after, s, said, out) {
			return nil
		}
		before, found = after, again
	}
	return nil
}

func deviceOf(found []check.Finding, s plan.Step) string {
	i := slices.IndexFunc(found, func(f check.Finding) bool { return f.ID == s.Finding })
	return found[i].Subject.Device
}

// next is the first step on a mount that was not tried yet.
func (tr *trial) next(p plan.Plan) (plan.Step, bool) {
	for _, s := range p.Steps {
		if s.Target.Kind != "mount" && s.Target.Kind != "mountpoint" || tr.tried[s.ID] {
			continue
		}
		tr.tried[s.ID] = true
		if s.Refused == "" {
			return s, true
		}
		tr.Counts["planned, refused, "+s.Action+": "+general(s.Refused)]++
	}
	return plan.Step{}, false
}

// general leaves numbers and names out of a sentence.
func general(text string) string {
	if _, after, ok := strings.Cut(text, "; and with its parent made private first: "); ok {
		return "would go along, and private: " + general(after)
	}
	if _, after, ok := strings.Cut(text, "would go along, and "); ok {
		return "would go along, and " + general(after)
	}
	for _, word := range []string{"a container works in it", "its owner has it mounted still", "it is the root directory of", "has it mounted", "mounts for containers where", "whose it is cannot be told", "was not read", "uses it", "is in use", "is mounted on it", "is locked", "which would not see it", "would not if that were private", "no owner of its file system", "it covers what it is mounted on", "mount point in its owner's namespace", "is not empty", "at this moment", "which covers it", "is the root of its mount namespace"} {
		if strings.Contains(text, word) {
			return word
		}
	}
	return text
}

// A saying is what a plan said will go.
type saying struct {
	goes []uint64 // the target first
	may  []uint64 // of those: what a lock may keep, or the kernel's other rule
}

func predict(h *snapshot.Host, s plan.Step) (out saying) {
	var toll holding.Toll
	switch s.Action {
	case "remove-mountpoint":
		return saying{goes: s.Target.Mounts}
	case "make-private-then-unmount":
		_, toll, _ = holding.BlastPrivate(h, s.Target.Mount)
	default:
		toll, _ = holding.Blast(h, s.Target.Mount, false)
	}
	unsure := holding.Unsure(h.Mounts)
	table, _ := holding.Table(h.Mounts)
	v := table.Unmount(propagation.Call{Mount: s.Target.Mount, Namespace: s.Target.MountNamespace, Held: holding.Held(h)})
	for _, l := range toll.Goes {
		id := l.Mount.ID
		out.goes = append(out.goes, id)
		if unsure[id] || slices.Contains(v.Old.Gone(), id) != slices.Contains(v.New.Gone(), id) {
			out.may = append(out.may, id)
		}
	}
	return out
}

// compare says whether an act did what was said. It draws the host where not.
func (tr *trial) compare(before, after *snapshot.Host, s plan.Step, said saying, out heal.Outcome) bool {
	was, is := tableOf(before), tableOf(after)
	gone := was.minus(is)
	miss := func(format string, args ...any) {
		tr.Misses = append(tr.Misses, fmt.Sprintf("seed %d: %s\n  %s: %s %s\n  %s\n%s", tr.seed, fmt.Sprintf(format, args...), s.Does, out.Status, out.Why, strings.Join(tr.story, "; "), draw(before, said, gone)))
	}
	bad := len(tr.Misses)
	switch {
	case len(said.goes) == 0:
		miss("the plan does not say what goes")
		return false
	case out.Status == "" && !slices.Contains(gone, said.goes[0]):
		miss("it was done, and the mount is still there")
	case out.Status != "" && len(gone) > 0:
		miss("it was not done, and mounts are gone")
	}
	if out.Status != "" && !tr.explained(s, said, out) {
		miss("the plan held it for possible")
	}
	for _, id := range gone {
		if !slices.Contains(said.goes, id) {
			miss("mount %d is gone, which the plan did not say", id)
		}
		switch why := tr.missed(before, was[id], s); {
		case why != "" && s.Action == "remove-mountpoint" && tr.held[id] == "flight": // who has it can use it still, detached
			tr.Counts["mounts gone with a mount point while a descriptor in flight used them, which no look shows"]++
		case why != "":
			miss("mount %d is gone, and %s", id, why)
		}
	}
	for _, id := range said.goes {
		if out.Status == "" && !slices.Contains(gone, id) && !slices.Contains(said.may, id) {
			miss("mount %d is still there, and was to go", id)
		}
	}
	for _, id := range is.lostMaster(was) {
		if s.Parent == nil || id != s.Parent.Mount {
			miss("mount %d does not receive any more from where it did", id)
		}
	}
	if came := is.minus(was); len(came) > 0 {
		miss("mounts %d have come", came)
	}
	if a, b := was.readOnly(), is.readOnly(); !slices.Equal(a, b) && len(gone) == 0 {
		miss("read-only superblocks: %q, then %q", a, b)
	}
	tr.count(s, said, out, gone)
	return len(tr.Misses) == bad
}

func (tr *trial) count(s plan.Step, said saying, out heal.Outcome, gone []uint64) {
	if out.Status != "" {
		tr.Counts[fmt.Sprintf("acts %s: %s", out.Status, general(out.Why))]++
		return
	}
	tr.Counts["acts done"]++
	tr.Counts["acts done of "+s.Action]++
	tr.Counts["acts done for "+strings.Split(s.Finding, "/")[0]]++
	tr.Counts["mounts gone by propagation"] += len(gone) - 1
	tr.Counts["mounts that were to go and stay by a lock or the kernel's other rule"] += len(said.goes) - len(gone)
}

// explained reports whether no look could have told that the kernel will refuse:
// locks are in no table, and nor is what uses a mount from inside of a socket.
func (tr *trial) explained(s plan.Step, said saying, out heal.Outcome) bool {
	if strings.Contains(out.Why, "is locked") {
		return slices.ContainsFunc(tr.spaces, func(in *space) bool { return in.inode == s.Target.MountNamespace && in.user })
	}
	if strings.Contains(out.Why, "at this moment") || strings.Contains(out.Why, "is not empty") { // others mount on this machine; no look reads directories
		return true
	}
	return strings.Contains(out.Why, "is in use") && slices.ContainsFunc(said.goes, func(id uint64) bool { return tr.held[id] == "flight" })
}

// missed says why somebody misses a mount, by what the story knows and not by
// what sexton thinks.
func (tr *trial) missed(h *snapshot.Host, m placed, s plan.Step) string {
	lives := slices.ContainsFunc(m.in.Pins, func(p snapshot.Pin) bool { return p.Kind == "process" })
	switch {
	case m.Point == "/":
		return "it was the root of a namespace"
	case tr.held[m.ID] != "":
		return "it was in use: " + tr.held[m.ID]
	case m.ID == s.Target.Mount && s.Risk != "safe":
		return ""
	case m.in.Inode == tr.spaces[0].inode:
		return "its owner had it mounted"
	case lives && m.Device != tr.device && !(tr.left[m.Device] && !hasMounted(h, tr.spaces[0].inode, m.Device)):
		return "somebody lived where it was mounted, and it is no copy of the leaked one"
	}
	return ""
}

// hasMounted reports whether a namespace has a superblock mounted.
func hasMounted(h *snapshot.Host, inode uint64, device string) bool {
	i := slices.IndexFunc(h.Mounts.Namespaces, func(ns snapshot.MountNamespace) bool { return ns.Inode == inode })
	return i >= 0 && slices.ContainsFunc(h.Mounts.Namespaces[i].Mounts, func(m snapshot.Mount) bool { return m.Device == device })
}

// draw shows the mounts of the story's namespaces.
func draw(h *snapshot.Host, said saying, gone []uint64) string {
	var b strings.Builder
	for i := range h.Mounts.Namespaces {
		ns := &h.Mounts.Namespaces[i]
		fmt.Fprintf(&b, "  mnt:[%d] of %s, owner %d\n", ns.Inode, holding.Who(h, holding.Name(h, holding.Pinned(h, ns))), ns.Owner)
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			mark := " "
			if slices.Contains(said.goes, m.ID) {
				mark = "?"
			}
			if slices.Contains(gone, m.ID) {
				mark += "-"
			}
			fmt.Fprintf(&b, "   %2s %s\n", mark, holding.Line(m))
		}
	}
	return b.String()
}
