package runtimehung

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "runtime-hung"

// Check reports the first layer of a container runtime that does not answer.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Threads, snapshot.Frozen, snapshot.Names, snapshot.Rungs, snapshot.Earlier},
	Uses:  []snapshot.Part{snapshot.Configured}, // where debug and live-restore stand
	Run:   run,
}

// A judge holds one pass and what is explained by what was found in it.
type judge struct {
	before, now *snapshot.Host
	down        map[int]bool    // pids that were found at fault
	explained   map[string]bool // containers whose rungs have their culprit
	found       []check.Finding
}

func run(p check.Pass) []check.Finding {
	if p.Before == nil || p.Now.Ladder == nil || p.Before.Ladder == nil {
		return nil
	}
	j := &judge{before: p.Before, now: p.Now, down: map[int]bool{}, explained: map[string]bool{}}
	// In this order: what /proc shows decides without a question, and the lowest
	// layer that does not answer is why those above it do not.
	j.halted()
	j.children()
	j.programs()
	j.silentShims()
	j.silentDaemons()
	j.inspected()
	j.outputs()
	return j.found
}

// A culprit is the layer where a request stops.
type culprit struct {
	rung      snapshot.Rung
	process   *snapshot.Process // the one at fault
	container string            // whose requests stop there; "" for all
	how       string            // "is stopped"
	cause     string
	wait      string // kernel function and system call
	kernel    bool   // it is the kernel that it waits for
	severity  check.Severity
	evidence  []check.Evidence
	remedies  []check.Remedy
	advice    []string
	since     time.Time
}

// add makes a culprit's finding. A daemon that is deaf for one container is not for others.
func (j *judge) add(c culprit) {
	id := check.Identity(name, c.process.ID())
	above := c.container != "" && daemon(c.rung)
	if above {
		id += "/" + c.container
	}
	if slices.ContainsFunc(j.found, func(f check.Finding) bool { return f.ID == id }) {
		return
	}
	j.down[c.process.PID] = j.down[c.process.PID] || !above
	who, subject := layerName(c.rung), check.Subject{Kind: "runtime", Name: c.process.Comm, PID: c.process.PID, Container: c.container}
	if c.container != "" {
		j.explained[c.container] = true
		if x := j.now.Container(c.container); x != nil {
			subject.Pod = x.Pod
		}
		who += j.whose(c)
	}
	j.found = append(j.found, check.Finding{
		ID:       id,
		Severity: cmp.Or(c.severity, check.Critical),
		Subject:  subject,
		Title:    fmt.Sprintf("%s is the first silent layer: %s (pid %d) %s", who, c.process.Comm, c.process.PID, c.how),
		Cause:    c.cause,
		Harm:     harm(c.rung, above, len(j.beside(c)) > 0),
		Evidence: slices.Concat(c.evidence, j.queues(c), j.shimsOf(c)),
		Holders:  []check.Holder{check.HolderOf(j.now, c.process)},
		Remedies: c.remedies,
		Advice:   slices.Concat(c.advice, []string{losses(j.now, c)}, j.debug(c)),
		Ladder:   j.ladder(c),
		Since:    c.since,
	})
}

// queues says how many connections a daemon or shim at fault does not accept.
func (j *judge) queues(c culprit) (out []check.Evidence) {
	for _, s := range j.now.Ladder.Listeners {
		if slices.Contains(s.PIDs, c.process.PID) && s.Pending > 0 {
			out = append(out, check.Evidence{Source: "sock_diag", Text: fmt.Sprintf("%s: %s in the queue that nobody accepts", s.Path, check.Count(s.Pending, "connection"))})
		}
	}
	return out
}

// shimsOf says which containers a containerd at fault has below its shims.
func (j *judge) shimsOf(c culprit) []check.Evidence {
	if c.rung != snapshot.RungContainerd {
		return nil
	}
	var names []string
	for _, x := range j.now.Ladder.Of(snapshot.RungShim) {
		shim := j.now.Same(x.ID())
		if shim == nil || j.now.Above(c.process, shim) < snapshot.Told {
			continue
		}
		for _, id := range j.containersBelow(shim) {
			box := j.now.Container(id)
			switch {
			case box == nil || box.Pod == "":
				names = append(names, check.ContainerName(j.now, id))
			case !box.Sandbox:
				names = append(names, check.ContainerName(j.now, id)+" of pod "+box.Pod)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []check.Evidence{{Source: "/proc", Text: "below its shims: " + check.Tally(names, 3)}}
}

// same returns a layer's process, if it was there at the first look as well.
func (j *judge) same(x *snapshot.Layer) (was, now *snapshot.Process) {
	return j.before.Same(x.ID()), j.now.Same(x.ID())
}

func stat(p *snapshot.Process) string { return fmt.Sprintf("/proc/%d/stat", p.PID) }
