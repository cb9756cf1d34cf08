package hungtask

import (
	_ "embed"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "hung-task"

// Check reports what could not run in both looks. A runtime that says which
// containers it paused makes it quieter, but is no need: it may be what hangs.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Threads, snapshot.Frozen, snapshot.Earlier},
	Uses:  []snapshot.Part{snapshot.Names, snapshot.Log},
	Run:   run,
}

// A judge holds one pass and who was named in it.
type judge struct {
	before, now *snapshot.Host
	noRoom      map[int]*snapshot.Mapped // the full thin pool that a process waits for, by pid
	named       map[int]bool             // pids of culprits, and of those that have a finding: they get no further one
}

func run(p check.Pass) []check.Finding {
	if p.Before == nil {
		return nil
	}
	j := &judge{before: p.Before, now: p.Now, noRoom: poolWaiters(p.Before, p.Now), named: map[int]bool{}}
	var found []check.Finding
	for _, of := range []func(was, now *snapshot.Process) []check.Finding{j.blocked, j.traced, j.stopped} {
		for i := range j.now.Processes {
			now := &j.now.Processes[i]
			if was := j.before.Same(now.ID()); was != nil && !j.named[now.PID] {
				more := of(was, now)
				j.named[now.PID] = j.named[now.PID] || len(more) > 0
				found = append(found, more...)
			}
		}
	}
	return append(found, j.frozen()...)
}
