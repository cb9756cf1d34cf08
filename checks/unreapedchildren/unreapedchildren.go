package unreapedchildren

import (
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
	host   *snapshot.Host
	parent *snapshot.Process
	dead   []*snapshot.Process // by start
}

func run(p check.Pass) []check.Finding {
	var found []check.Finding
	for _, f := range families(p.Before, p.Now) {
		found = append(found, f.finding(p))
	}
	return found
}

// families groups the still dead by parent. Identity is pid and start time: a
// number that was reaped and used again between the looks is another process.
func families(before, now *snapshot.Host) []*family {
	if before == nil {
		return nil
	}
	byParent := map[int]*family{}
	var out []*family
	for i := range now.Processes {
		z := &now.Processes[i]
		was := before.Same(z.ID())
		if !z.Zombie() || was == nil || !was.Zombie() {
			continue
		}
		parent := now.Process(z.PPID)
		if parent == nil {
			continue // it ended this instant, or is outside of the reader's PID namespace
		}
		f := byParent[z.PPID]
		if f == nil {
			f = &family{host: now, parent: parent}
			byParent[z.PPID] = f
			out = append(out, f)
		}
		f.dead = append(f.dead, z)
	}
	for _, f := range out {
		slices.SortStableFunc(f.dead, func(a, b *snapshot.Process) int { return int(min(1, max(-1, int64(a.Start)-int64(b.Start)))) })
	}
	return out
}

func (f *family) finding(p check.Pass) check.Finding {
	from := f.origins()
	why := f.why()
	growth := f.growth()
	left := f.budget(growth, p.Limits)
	oldest := f.host.Started(f.dead[0])
	out := check.Finding{
		ID:       check.Identity(name, f.parent.ID()),
		Severity: left.severity,
		Subject:  check.SubjectOf(f.host, f.parent),
		Title:    fmt.Sprintf("%s not reaped by %s", check.Count(len(f.dead), "dead child"), f.who()),
		Cause:    why.text + ". " + from.text(),
		Harm:     left.text,
		Holders:  []check.Holder{check.HolderOf(f.host, f.parent)},
		Remedies: f.remedies(why, from),
		Advice:   f.advice(why, from),
		Since:    oldest,
	}
	if f.parent.PID == 1 && f.parent.Container == "" {
		out.Subject.Kind = "host"
	}
	out.Evidence = append(f.evidence(growth), why.evidence...)
	out.Evidence = append(out.Evidence, from.evidence...)
	out.Evidence = append(out.Evidence, left.evidence...)
	return out
}

// who names the parent by its place: the host's init and a container's PID 1 are told apart.
func (f *family) who() string {
	switch {
	case f.parent.Kernel:
		return "the kernel thread " + check.Label(f.host, f.parent)
	case f.parent.PID == 1 && f.parent.Container == "":
		return "the host's own init, " + check.Label(f.host, f.parent)
	case f.first():
		return "PID 1 of its PID namespace, " + check.Label(f.host, f.parent)
	}
	return check.Label(f.host, f.parent)
}

// first reports whether the parent is PID 1 of a PID namespace, and so is given its orphans.
func (f *family) first() bool {
	return f.parent.PID == 1 || f.parent.First()
}

func (f *family) evidence(g growth) []check.Evidence {
	var pids []int
	var comms []string
	for _, z := range f.dead {
		pids = append(pids, z.PID)
		comms = append(comms, z.Comm)
	}
	text := fmt.Sprintf("state Z in both looks, parent %d: %s; oldest started %s ago", f.parent.PID,
		check.Tally(comms, 4), check.Age(f.host.Taken.Sub(f.host.Started(f.dead[0]))))
	if g.perMinute > 0 {
		text += fmt.Sprintf("; %s", g)
	}
	return []check.Evidence{
		{Source: fmt.Sprintf("/proc/%d/stat", f.dead[0].PID), Text: text},
		{Source: "/proc/PID/stat", Text: "pids " + check.PIDs(pids, 12)},
	}
}

func (f *family) remedies(w reason, from origins) []check.Remedy {
	var out []check.Remedy
	if w.remedy.Action != "" {
		out = append(out, w.remedy)
	}
	if len(from.adopted) > 0 && f.first() && f.parent.PID != 1 {
		out = append(out, check.Remedy{Action: "reap-by-ptrace", Risk: "safe",
			Why: fmt.Sprintf("%s proved to be orphans that the parent did not start", check.Count(len(from.adopted), "dead child"))})
	}
	return out
}

func (f *family) advice(w reason, from origins) []string {
	var out []string
	if f.first() && f.parent.PID != 1 && len(from.adopted) > 0 {
		where := "give the container an init: docker run --init, or sexton-init as its entrypoint"
		if c := f.host.Container(f.parent.Container); c != nil && c.Pod != "" {
			where = "set shareProcessNamespace: true in the pod, or make sexton-init the container's entrypoint"
		}
		out = append(out, where+"; it reaps what this PID 1 is given")
	}
	if len(from.own)+len(from.unclear) > 0 && !w.passing {
		mend := "mend " + f.parent.Comm + ": it must wait for the children that it starts"
		if f.first() {
			mend += "; an init in front of it reaps orphans only, not these"
		}
		out = append(out, mend)
	}
	return out
}
