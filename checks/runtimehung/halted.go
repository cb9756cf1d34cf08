package runtimehung

import (
	"fmt"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// halted finds the layers that run no code: stopped in both looks, or in a cgroup
// that is frozen. An init that is stopped is why its runc waits, so the lowest come first.
func (j *judge) halted() {
	for _, r := range []snapshot.Rung{snapshot.RungInit, snapshot.RungChild, snapshot.RungShim, snapshot.RungConmon, snapshot.RungContainerd,
		snapshot.RungCRIO, snapshot.RungCRIDockerd, snapshot.RungPodman, snapshot.RungDockerd} {
		for _, x := range j.now.Ladder.Of(r) {
			if was, now := j.same(x); was != nil && now != nil {
				j.stopped(x, was, now)
				j.frozenLayer(x, was, now)
			}
		}
	}
}

func (j *judge) stopped(x *snapshot.Layer, was, now *snapshot.Process) {
	if was.State != snapshot.Stopped || now.State != snapshot.Stopped || j.now.Frozen(now) != nil {
		return
	}
	c := culprit{rung: x.Rung, process: now, container: x.Container, how: "is stopped", since: j.before.Taken, wait: "state T: it runs no code until it gets SIGCONT"}
	c.cause = "Somebody sent it SIGSTOP, or a debugger left it so; whoever asks it waits until it gets SIGCONT"
	c.evidence = []check.Evidence{{Source: stat(now), Text: "state T in both looks"}}
	c.remedies = []check.Remedy{{Action: "resume-process", Risk: "safe", Why: "it runs on from where it stopped, and what waits for it is answered",
		Targets: []check.Target{check.ProcessTarget(now)}}}
	j.add(c)
}

func (j *judge) frozenLayer(x *snapshot.Layer, was, now *snapshot.Process) {
	g := j.now.Frozen(now)
	if g == nil || j.before.Frozen(was) == nil || g.Container != "" && (j.now.Paused(g.Container) || x.Rung != snapshot.RungInit) {
		return
	}
	j.add(j.frozen(culprit{rung: x.Rung, process: now, container: x.Container}, g))
}

// frozen completes a culprit that is in a frozen cgroup.
func (j *judge) frozen(c culprit, g *snapshot.Cgroup) culprit {
	c.how, c.wait, c.since = "is frozen", "frozen by cgroup "+g.Path, j.before.Taken
	c.cause = "Its cgroup was frozen behind the runtime's back, which does not call it paused; a freezer may be left on by a crashed runc or by hand"
	c.evidence = append(c.evidence, check.Evidence{Source: "cgroup " + g.Path, Text: "frozen in both looks"})
	c.remedies = []check.Remedy{{Action: "thaw", Risk: "disruptive", Why: "its processes run on from where they were",
		Targets: []check.Target{{Kind: "cgroup", Cgroup: g.Path}}}}
	return c
}

// programs finds containers whose first process cannot run: frozen behind the
// runtime's back, or told to end and held in the kernel.
func (j *judge) programs() {
	for i := range j.now.Containers {
		box := &j.now.Containers[i]
		p := j.now.Process(box.Init)
		if p == nil || p.Container != box.ID || j.explained[box.ID] || j.down[p.PID] {
			continue
		}
		was := j.before.Same(p.ID())
		if was == nil {
			continue
		}
		c := culprit{rung: snapshot.RungProgram, process: p, container: box.ID}
		if g := j.now.Frozen(p); g != nil && j.before.Frozen(was) != nil {
			if !j.now.Paused(box.ID) {
				c = j.frozen(c, g)
				c.severity = check.Warning
				j.add(c)
			}
			continue
		}
		if t := stuck(was, p); t != nil && t.Killed {
			c.rung, c.kernel, c.how, c.wait, c.since = snapshot.RungKernel, true, "was killed and cannot end", where(*t), j.before.Taken
			c.cause = "It waits in the kernel where no signal ends the wait; docker stop and the deletion of its pod wait with it"
			c.evidence = []check.Evidence{{Source: fmt.Sprintf("/proc/%d/task/%d", p.PID, t.TID), Text: "state D in both looks, SIGKILL pending, no context switch between them; " + where(*t)}}
			c.advice = []string{"end what it waits for: hung-task names the device, the server or the lock; sexton why " + fmt.Sprint(p.PID)}
			j.add(c)
		}
	}
}

// stuck returns a thread that stayed in D and did not run between the looks, nil if there is none.
func stuck(was, now *snapshot.Process) *snapshot.Task {
	if all := check.StillBlocked(was, now); len(all) > 0 {
		return &all[0]
	}
	return nil
}
