package halfdead

import (
	_ "embed"
	"fmt"

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
		before := p.Before.Same(now.ID())
		if !now.HalfDead() || before == nil || !before.HalfDead() {
			continue
		}
		found = append(found, finding(p.Now, now))
	}
	return found
}

func finding(h *snapshot.Host, p *snapshot.Process) check.Finding {
	f := check.Finding{
		ID:       check.Identity(name, p.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(h, p),
		Title:    fmt.Sprintf("%s is dead but for %s: nobody can reap it", check.Label(h, p), check.Count(p.Threads-1, "live thread")),
		Cause: fmt.Sprintf("The first thread of %s ended and the others go on, as after pthread_exit in main. "+
			"The kernel lets a process be reaped only when all of its threads have ended", p.Comm),
		Harm:  "It stands in ps as a zombie and answers kill -0; its parent cannot reap it, and no init in front of it could",
		Since: h.Started(p),
		Evidence: []check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", p.PID),
			Text: fmt.Sprintf("state Z with num_threads %d in both looks", p.Threads)}},
		Advice: []string{"end the process as a whole: exit(3) from the program, or kill it; a reaper or another parent does not help"},
	}
	blocked := false
	for _, t := range p.Tasks {
		text := fmt.Sprintf("thread %q in state %s", t.Comm, t.State)
		if t.Wchan != "" && t.Wchan != "0" {
			text += ", waits in " + t.Wchan
		}
		blocked = blocked || t.State == snapshot.Uninterruptible
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d/stat", p.PID, t.TID), Text: text})
		f.Holders = append(f.Holders, check.Holder{Kind: "thread", PID: p.PID, TID: t.TID, Comm: t.Comm, Container: p.Container})
	}
	if killed := p.Detail != nil && p.Detail.Pending.Has(sigkill); blocked || killed {
		f.Cause = fmt.Sprintf("%s is ending, and a thread of it is still inside the kernel. "+
			"It can be reaped only when that thread comes out", p.Comm)
		f.Harm = "Its container or pod stays as it is (running, Terminating) until the thread comes out; nothing can kill it before"
		f.Advice = []string{"see what the thread waits for: sexton scan --check hung-task"}
		if blocked {
			f.Severity = check.Critical
		}
	}
	return f
}
