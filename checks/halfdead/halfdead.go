package halfdead

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "half-dead"

const sigkill = 9

// Check reports each process whose leader was dead in both looks while another thread lived on.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Threads, snapshot.Reaping, snapshot.Earlier},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	var found []check.Finding
	if p.Before == nil {
		return nil
	}
	for i := range p.Now.Processes {
		now := &p.Now.Processes[i]
		was := p.Before.Same(now.ID())
		if !now.HalfDead() || was == nil || !was.HalfDead() {
			continue
		}
		// Where no thread was read their number is all there is to go by.
		stayed := stillThere(was, now)
		if len(stayed) == 0 && len(was.Tasks) > 0 && len(now.Tasks) > 0 {
			continue // its threads come and go: it is about to end
		}
		f := finding(p.Now, now, stayed)
		f.Since = p.Before.Taken
		found = append(found, f)
	}
	return found
}

// A survivor is a thread that outlived its leader in both looks.
type survivor struct {
	snapshot.Task
	blocked bool // in D in both looks
}

func stillThere(was, now *snapshot.Process) []survivor {
	var out []survivor
	for _, t := range now.Tasks {
		b := was.Task(t.TID)
		if b == nil || t.State == snapshot.Dead || t.TID == now.PID {
			continue
		}
		out = append(out, survivor{t, t.State == snapshot.Uninterruptible && b.State == t.State})
	}
	return out
}

func finding(h *snapshot.Host, p *snapshot.Process, stayed []survivor) check.Finding {
	f := check.Finding{
		ID:       check.Identity(name, p.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(h, p),
		Title:    fmt.Sprintf("%s is dead but for %s: nobody can reap it", check.Label(h, p), check.Count(p.Threads-1, "live thread")),
		Cause: fmt.Sprintf("The first thread of %s has ended and others go on, as after pthread_exit in main. "+
			"A process can be reaped only when all of its threads have ended", p.Comm),
		Harm: "It stands in ps as a zombie and answers kill -0; its parent cannot reap it, and no init in front of it could",
		Evidence: []check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", p.PID),
			Text: fmt.Sprintf("state Z with num_threads %d in both looks", p.Threads)}},
		Advice: []string{"if that is not meant: the program is to end as a whole, by exit(3); kill ends the threads that are left; a reaper or another parent does not help"},
	}
	show(&f, p, stayed)
	if told := p.Detail != nil && p.Detail.Pending.Has(sigkill) || slices.ContainsFunc(stayed, func(t survivor) bool { return t.Killed }); told {
		ending(&f, h, p, stayed)
	}
	return f
}

// shown is how many threads are shown one by one: the blocked before the others.
const shown = 4

func show(f *check.Finding, p *snapshot.Process, stayed []survivor) {
	slices.SortStableFunc(stayed, func(a, b survivor) int {
		switch {
		case a.blocked == b.blocked:
			return 0
		case a.blocked:
			return -1
		}
		return 1
	})
	for i, t := range stayed {
		if i == shown {
			f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/task", p.PID), Text: check.Count(len(stayed)-shown, "more live thread")})
			break
		}
		text := fmt.Sprintf("thread %q in state %s", t.Comm, t.State)
		if t.Wchan != "" && t.Wchan != "0" {
			text += ", waits in " + t.Wchan
		}
		if t.Killed {
			text += ", told to end"
		}
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d/stat", p.PID, t.TID), Text: text})
		f.Holders = append(f.Holders, check.Holder{Kind: "thread", PID: p.PID, TID: t.TID, Comm: t.Comm, Container: p.Container})
	}
}

// ending tells of a process that was told to end, by a signal or by itself, and why it has not.
func ending(f *check.Finding, h *snapshot.Host, p *snapshot.Process, stayed []survivor) {
	is := func(s snapshot.State) func(survivor) bool { return func(t survivor) bool { return t.State == s } }
	what := "It stays"
	if p.Container != "" {
		what = "It stays, and so may its container or pod (running, Terminating),"
	}
	f.Harm = what + " until its last thread has come out; nothing can kill it before"
	var why string
	switch {
	case slices.ContainsFunc(stayed, func(t survivor) bool { return t.blocked }):
		f.Severity = check.Critical
		why = "a thread of it is blocked in the kernel"
		f.Advice = []string{"see what the thread waits for: sexton scan --check hung-task"}
	case slices.ContainsFunc(stayed, is(snapshot.Traced)):
		why = "a debugger holds a thread of it"
		if p.Detail != nil {
			if tracer := h.Process(p.Detail.Tracer); tracer != nil {
				why = strings.Replace(why, "a debugger", "a debugger, "+check.Label(h, tracer)+",", 1)
				f.Holders = append(f.Holders, check.HolderOf(h, tracer))
			}
		}
		f.Advice = []string{"end the debugger or let the thread go on: it ends then"}
	default:
		why = "a thread of it has not come to its end"
		f.Advice = []string{"look again: the end takes long where much memory is to be given back"}
	}
	f.Cause = fmt.Sprintf("%s was told to end, and %s. A process can be reaped only when all of its threads have ended", p.Comm, why)
}
