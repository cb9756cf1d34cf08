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
	Run:   run,
}

// A judge holds one pass and who was named as a cause in it.
type judge struct {
	before, now *snapshot.Host
	named       map[int]bool // pids of culprits: they get no finding of their own
}

func run(p check.Pass) []check.Finding {
	if p.Before == nil {
		return nil
	}
	j := &judge{before: p.Before, now: p.Now, named: map[int]bool{}}
	var found []check.Finding
	for i := range j.now.Processes {
		now := &j.now.Processes[i]
		if was := j.before.Same(now.ID()); was != nil {
			found = append(found, j.blocked(was, now)...)
		}
	}
	found = append(found, j.frozen()...)
	for i := range j.now.Processes {
		now := &j.now.Processes[i]
		if was := j.before.Same(now.ID()); was != nil && !j.named[now.PID] {
			found = append(found, j.stopped(was, now)...)
		}
	}
	return found
}
