package runtimehung

import (
	"fmt"
	"slices"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// sick is the age from which a runc that does one thing is not slow any more. What
// starts 60 of them at once on a starved host has them wait for some seconds each.
const sick = 30 * time.Second

// patient are the operations that may take as long as they like.
var patient = []string{"run", "checkpoint", "restore", "events"}

// children finds the runc or crun below a shim, conmon or daemon that does not end:
// it holds the container's lock there, and every question for the container waits.
func (j *judge) children() {
	for _, x := range j.now.Ladder.Of(snapshot.RungChild) {
		_, p := j.same(x)
		if p == nil || j.down[p.PID] || x.Container != "" && j.explained[x.Container] || slices.Contains(patient, x.Operation) {
			continue
		}
		if age := j.age(p); age >= sick && j.still(x) && j.idleBelow(p.PID, 0) {
			j.child(x, p, age)
		}
	}
}

func (j *judge) child(x *snapshot.Layer, p *snapshot.Process, age time.Duration) {
	c := culprit{rung: snapshot.RungChild, process: p, container: x.Container, since: j.now.Started(p)}
	c.how = fmt.Sprintf("has not ended for %s", check.Age(age))
	if x.Operation != "" {
		c.how = fmt.Sprintf("was told to %s and has not ended for %s", x.Operation, check.Age(age))
	}
	c.cause = "It waits, and holds the container's lock in its shim meanwhile: " + where(*x.Wait)
	if x.On != "" {
		c.cause += ", on " + x.On
	}
	c.wait = where(*x.Wait)
	c.evidence = []check.Evidence{{Source: fmt.Sprintf("/proc/%d/task/%d", p.PID, x.Wait.TID), Text: fmt.Sprintf("state %s in both looks, no thread of it ran between them (%s context switches so far); %s",
		x.Wait.State, check.Number(int(x.Switches)), where(*x.Wait))}}
	switch {
	case x.Wait.State == snapshot.Uninterruptible:
		c.rung, c.kernel = snapshot.RungKernel, true
		c.cause = "It waits in the kernel where no signal ends the wait: " + where(*x.Wait)
		c.advice = []string{"end what it waits for: hung-task names the device, the server or the lock"}
	case x.Operation == "start" && x.Wait.Wchan == "wait_for_partner":
		c.cause = "It waits for the container's init to open exec.fifo, and that never does: it is dead, or was kept from it"
		c.advice = []string{"see exec-fifo for whether the other side lives; a start that is woken fails and can be tried again"}
	}
	if parent := j.now.Process(p.PPID); parent != nil && c.rung == snapshot.RungChild && endable(j.now.Ladder.Layer(parent.ID())) {
		c.remedies = []check.Remedy{{Action: "end-runtime-child", Risk: "disruptive", Why: "the one operation fails, its shim goes on, and the container's questions are answered",
			Targets: []check.Target{check.ProcessTarget(p)}}}
	}
	j.add(c)
}

// endable reports whether a child of this layer may be ended: the layer is told and goes on.
func endable(parent *snapshot.Layer) bool {
	return parent != nil && slices.Contains([]snapshot.Rung{snapshot.RungShim, snapshot.RungConmon, snapshot.RungCRIO, snapshot.RungContainerd}, parent.Rung)
}

// age is how long a process has been there, 0 if that cannot be known.
func (j *judge) age(p *snapshot.Process) time.Duration {
	started := j.now.Started(p)
	if started.IsZero() {
		return 0
	}
	return j.now.Taken.Sub(started)
}

// still reports whether no thread of a layer, or of a program the one that waits, ran
// in either look or between them.
func (j *judge) still(x *snapshot.Layer) bool {
	was := j.before.Ladder.Layer(x.ID())
	return was != nil && x.Wait != nil && was.Wait != nil && (x.Rung != snapshot.RungProgram || x.Wait.TID == was.Wait.TID) && !was.Runs && !x.Runs && was.Switches == x.Switches && x.Switches > 0
}

// idleBelow reports whether nothing below a process is at work: a child, a hook, an
// init on its way.
func (j *judge) idleBelow(pid, depth int) bool {
	for _, p := range j.now.Children(pid) {
		was := j.before.Same(p.ID())
		if was == nil || p.State == snapshot.Running || was.State == snapshot.Running {
			return false
		}
		if x := j.now.Ladder.Layer(p.ID()); x != nil && x.Wait != nil && !j.still(x) {
			return false
		}
		if depth > 16 || !j.idleBelow(p.PID, depth+1) {
			return false
		}
	}
	return true
}
