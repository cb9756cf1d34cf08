package unreapedchildren

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "unreaped-children"

// Check reports each parent with a child that was dead one interval ago and still is.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Reaping, snapshot.Budgets, snapshot.Frozen, snapshot.Earlier},
	Run:   run,
}

// A family is one parent and its children that were dead in both looks.
type family struct {
	before, host *snapshot.Host
	was, parent  *snapshot.Process   // the parent in both looks
	dead         []*snapshot.Process // by start
}

func run(p check.Pass) []check.Finding {
	if p.Before == nil {
		return nil
	}
	var found []check.Finding
	families, lost := families(p.Before, p.Now)
	for _, f := range families {
		found = append(found, f.finding(p.Limits))
	}
	if len(lost) > 0 {
		found = append(found, outside(p.Now, lost))
	}
	return found
}

// families groups the still dead by parent. Identity is pid and start time: a
// number that was reaped and used again between the looks is another process.
// One that came to another parent between the looks has not been left by that
// one yet. lost are those whose parent has no number in the reader's PID namespace.
func families(before, now *snapshot.Host) (out []*family, lost []*snapshot.Process) {
	byParent := map[int]*family{}
	for i := range now.Processes {
		z := &now.Processes[i]
		was := before.Same(z.ID())
		if !z.Zombie() || was == nil || !was.Zombie() || was.PPID != z.PPID {
			continue
		}
		if z.PPID == 0 {
			lost = append(lost, z)
			continue
		}
		parent := now.Process(z.PPID)
		if parent == nil || before.Same(parent.ID()) == nil {
			continue // it ended this instant
		}
		f := byParent[z.PPID]
		if f == nil {
			f = &family{before: before, host: now, was: before.Same(parent.ID()), parent: parent}
			byParent[z.PPID] = f
			out = append(out, f)
		}
		f.dead = append(f.dead, z)
	}
	for _, f := range out {
		slices.SortStableFunc(f.dead, func(a, b *snapshot.Process) int { return cmp.Compare(a.Start, b.Start) })
	}
	return out, lost
}

func (f *family) finding(limits check.Limits) check.Finding {
	from := f.origins()
	why := f.why()
	growth := f.growth()
	left := f.budget(growth, limits)
	if why.meant && left.severity == check.Warning {
		left.severity = check.Info
	}
	out := check.Finding{
		ID:       check.Identity(name, f.parent.ID()),
		Severity: left.severity,
		Subject:  check.SubjectOf(f.host, f.parent),
		Title:    fmt.Sprintf("%s%s not reaped by %s", check.Count(len(f.dead), "dead child"), f.where(), f.who()),
		Cause:    why.text + ". " + from.text(),
		Harm:     left.text,
		Holders:  append([]check.Holder{check.HolderOf(f.host, f.parent)}, why.holders...),
		Remedies: f.remedies(why, from),
		Advice:   f.advice(why, from),
	}
	if f.isHost() {
		out.Subject.Kind, out.Subject.Name = "host", f.host.Name
	}
	if f.host.Uptime > 0 {
		out.Since = f.host.Started(f.dead[0])
	}
	out.Evidence = append(f.evidence(growth), why.evidence...)
	out.Evidence = append(out.Evidence, from.evidence...)
	out.Evidence = append(out.Evidence, left.evidence...)
	return out
}

// who names the parent by its place: the host's init and a container's PID 1 are told apart.
func (f *family) who() string {
	label := check.Label(f.host, f.parent)
	switch {
	case f.parent.Kernel:
		return "the kernel thread " + label
	case f.isHost():
		return "the host's own init, " + label
	case f.first():
		return "PID 1 of its PID namespace, " + label
	}
	return label
}

// where names the container of the dead if their parent is not in it, as a shim is not.
func (f *family) where() string {
	id := f.dead[0].Container
	other := func(z *snapshot.Process) bool { return z.Container != id }
	if f.parent.Container != "" || id == "" || slices.ContainsFunc(f.dead, other) {
		return ""
	}
	return " of container " + check.ContainerName(f.host, id)
}

// first reports whether the parent is PID 1 of a PID namespace, and so is given its orphans.
func (f *family) first() bool {
	return f.parent.PID == 1 || f.parent.First()
}

// isHost reports whether the parent is the host's own init.
func (f *family) isHost() bool { return f.parent.PID == 1 && !f.host.Nested }

func (f *family) evidence(g growth) []check.Evidence {
	source := fmt.Sprintf("/proc/%d/stat", f.dead[0].PID)
	text := fmt.Sprintf("state Z and parent %d in both looks: %s", f.parent.PID, comms(f.dead, 4))
	if len(f.dead) > 1 {
		source = "/proc/PID/stat"
		text += fmt.Sprintf(" (pids %s)", pids(f.dead, 12))
	}
	if f.host.Uptime > 0 {
		text += fmt.Sprintf("; oldest started %s ago", check.Age(f.host.Taken.Sub(f.host.Started(f.dead[0]))))
	}
	if g.perMinute > 0 {
		text += fmt.Sprintf("; %s", g)
	}
	return []check.Evidence{{Source: source, Text: text}}
}

func comms(dead []*snapshot.Process, most int) string {
	var names []string
	for _, z := range dead {
		names = append(names, z.Comm)
	}
	return check.Tally(names, most)
}

func pids(dead []*snapshot.Process, most int) string {
	var numbers []int
	for _, z := range dead {
		numbers = append(numbers, z.PID)
	}
	return check.PIDs(numbers, most)
}

// outside reports the dead whose parent nobody can see from here.
func outside(h *snapshot.Host, dead []*snapshot.Process) check.Finding {
	slices.SortStableFunc(dead, func(a, b *snapshot.Process) int { return cmp.Compare(a.Start, b.Start) })
	f := check.Finding{
		ID:       name + "/outside",
		Severity: check.Warning,
		Subject:  check.SubjectOf(h, dead[0]),
		Title:    check.Count(len(dead), "dead child") + " of a parent outside of this PID namespace, not reaped",
		Cause: fmt.Sprintf("The parent has no number where sexton looks (ppid 0), as a runtime's shim has none in a container: "+
			"who it is and why it does not reap can only be seen from the host. The dead: %s", comms(dead, 4)),
		Harm:     "Each holds a pid here and outside",
		Evidence: []check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", dead[0].PID), Text: "state Z in both looks, parent 0: pids " + pids(dead, 12)}},
		Holders:  []check.Holder{{Kind: "unknown"}},
		Advice:   []string{"look from the host, or from a container with --pid=host (hostPID: true)"},
	}
	if h.Uptime > 0 {
		f.Since = h.Started(dead[0])
	}
	return f
}
