package hungtask

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// blocked reports a process with a thread that stayed in D, or whose mmap_lock is held.
func (j *judge) blocked(was, now *snapshot.Process) []check.Finding {
	stuck := j.stillBlocked(was, now)
	held := was.Blocked && now.Blocked
	if len(stuck) == 0 && !held || j.now.Frozen(now) != nil {
		return nil
	}
	f := check.Finding{
		ID:       check.Identity(name, now.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(j.now, now),
		Since:    j.before.Taken,
	}
	if check.IsRuntime(now.Comm) {
		f.Subject.Kind = "runtime"
	}
	if len(stuck) == 0 {
		f.Title = check.Label(j.now, now) + " cannot be looked into: its mmap_lock is held"
		f.Cause = "A thread of it, or a process that looks into it, holds its mmap_lock; which one cannot be told, since none of its threads stayed in state D"
	} else {
		j.describe(&f, now, stuck)
	}
	if was.State == snapshot.Stopped && now.State == snapshot.Stopped {
		f.Cause += ". The process is stopped (SIGSTOP) as well"
		f.Remedies = append(f.Remedies, check.Remedy{Action: "resume-process", Risk: "disruptive", Why: "SIGCONT lets its other threads run on", Targets: []check.Target{check.ProcessTarget(now)}})
		if check.IsRuntime(now.Comm) {
			f.Severity = check.Critical
		}
	}
	if held {
		f.Severity = check.Critical
		f.Harm = strings.TrimPrefix(f.Harm+". Whoever reads its command line or maps blocks too: ps, pgrep, top -c, lsof, fuser, monitoring", ". ")
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/cmdline", now.PID), Text: "a read did not return within 0.3 s, in both looks"})
	}
	if len(f.Holders) == 0 {
		f.Holders = []check.Holder{check.HolderOf(j.now, now)}
	}
	return []check.Finding{f}
}

// describe says of a process with blocked threads what they wait for and what that costs.
func (j *judge) describe(f *check.Finding, now *snapshot.Process, stuck []snapshot.Task) {
	main := deepest(stuck)
	f.Title = check.Label(j.now, now) + " is blocked in the kernel: " + where(main)
	if was := j.before.Same(now.ID()); was.Blocked && now.Blocked {
		f.Title += ", with its mmap_lock held"
	}
	f.Harm = "It does not run, and acts on no signal but perhaps KILL: docker stop and pod deletion may hang with it"
	if now.Threads > len(stuck) {
		acts := "acts"
		if len(stuck) > 1 {
			acts = "act"
		}
		f.Harm = fmt.Sprintf("%s of its %s cannot run and %s on no signal but perhaps KILL: docker stop and pod deletion may hang with it",
			check.Number(len(stuck)), check.Count(now.Threads, "thread"), acts)
	}
	f.Evidence = append(waitEvidence(now.PID, main, stuck), j.logged(now, stuck)...)
	killed := slices.IndexFunc(stuck, func(t snapshot.Task) bool { return t.Killed })
	if killed >= 0 {
		f.Severity = check.Critical
		f.Harm = "It was told to end and cannot: docker stop and pod deletion hang until it comes out of the kernel"
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d/status", now.PID, stuck[killed].TID), Text: "told to end: KILL is pending, or it is in its exit"})
	}
	c := classOf(main)
	f.Cause = c.cause
	if c.cause == "" {
		f.Cause = "It waits in " + where(main)
	}
	if main.TID != now.PID {
		f.Cause = fmt.Sprintf("Its thread %q (tid %d)%s", main.Comm, main.TID, strings.TrimPrefix(f.Cause, "It"))
	}
	if where(main) == unseen {
		f.Cause = "What it waits for is hidden from this user: run as root"
	}
	if c.advice != "" {
		f.Advice = []string{c.advice}
	}
	switch {
	case slices.ContainsFunc(stuck, inFUSE):
		j.behindFUSE(f, now)
	case inVfork(main):
		j.behindVfork(f, now, killed >= 0)
	case j.noRoom[now.PID] != nil:
		j.behindPool(f, j.noRoom[now.PID])
	case c.cause == mmapLock.cause:
		j.behindLock(f, now)
	}
}

// stillBlocked returns the threads that stayed in D, but for those that sleep in the
// freezer, where they were before.
func (j *judge) stillBlocked(was, now *snapshot.Process) []snapshot.Task {
	g := j.now.Cgroup(now.Cgroup)
	freezing := g != nil && g.Freezing
	return slices.DeleteFunc(check.StillBlocked(was, now), func(t snapshot.Task) bool { return freezing && classOf(t).cause == "" })
}

// manyWaits is how many different waits of one process are shown.
const manyWaits = 3

// waitEvidence shows one thread for each different wait, main first.
func waitEvidence(pid int, main snapshot.Task, stuck []snapshot.Task) []check.Evidence {
	var out []check.Evidence
	shown := map[string]bool{}
	for _, t := range append([]snapshot.Task{main}, stuck...) {
		at := where(t)
		if shown[at] || len(shown) == manyWaits {
			continue
		}
		shown[at] = true
		dir := fmt.Sprintf("/proc/%d/task/%d", pid, t.TID)
		out = append(out, check.Evidence{Source: dir + "/status", Text: fmt.Sprintf("thread %q, state D in both looks and no context switch between them (%d)", t.Comm, t.Switches)})
		if at != unseen {
			out = append(out, check.Evidence{Source: dir + "/wchan", Text: at})
		}
		if t.Stack != "" {
			out = append(out, check.Evidence{Source: dir + "/stack", Text: t.Stack})
		}
	}
	if more := len(stuck) - len(shown); more > 0 {
		out = append(out, check.Evidence{Source: fmt.Sprintf("/proc/%d/task", pid), Text: check.Count(more, "more thread") + " in state D in both looks"})
	}
	return out
}

// logged is what the kernel's own detector says of these threads: it logs who is in
// D for two minutes. A number that was used again has another name, or a later start.
func (j *judge) logged(p *snapshot.Process, stuck []snapshot.Task) (out []check.Evidence) {
	if j.now.Log == nil || !j.now.Log.PIDs {
		return nil
	}
	began := j.now.Started(p)
	for _, e := range j.now.Log.Events {
		about := func(t snapshot.Task) bool { return t.TID == e.PID && t.Comm == e.Process }
		if e.Family == snapshot.LogHungTask && slices.ContainsFunc(stuck, about) && !e.Time.Before(began) {
			said := check.Logged(e)
			if e.Times > 1 {
				said.Text = fmt.Sprintf("%s (%d times)", said.Text, e.Times)
			}
			out = append(out, said)
		}
	}
	return out[max(0, len(out)-manyWaits):]
}

// behindLock names the processes whose mmap_lock is held, if any was found: it
// is one of those that a reader of another's memory waits for.
func (j *judge) behindLock(f *check.Finding, p *snapshot.Process) {
	var labels []string
	for i := range j.now.Processes {
		held := &j.now.Processes[i]
		if was := j.before.Same(held.ID()); !held.Blocked || was == nil || !was.Blocked || held.PID == p.PID {
			continue
		}
		labels = append(labels, check.Label(j.now, held))
		f.Holders = append(f.Holders, check.HolderOf(j.now, held))
	}
	switch len(labels) {
	case 0:
		return
	case 1:
		f.Cause = "It waits for an mmap_lock, which is held in " + labels[0]
	default:
		f.Cause = "It waits for an mmap_lock; one is held in each of " + check.Tally(labels, 3)
	}
	f.Advice = []string{"it goes on when that one does: see its finding"}
}

// behindVfork names the child that a thread has lent its memory to.
func (j *judge) behindVfork(f *check.Finding, p *snapshot.Process, killed bool) {
	if !killed {
		f.Harm = "It does not run until that child executes a program or ends; of all signals only KILL gets through"
	}
	var child *snapshot.Process
	for _, c := range j.now.Children(p.PID) {
		if c.State != snapshot.Dead && (child == nil || c.Start > child.Start) {
			child = c
		}
	}
	if child == nil {
		return
	}
	f.Cause = fmt.Sprintf("It waits for its child after vfork, which has not executed a program yet: its youngest is %s, in state %s", check.Label(j.now, child), child.State)
	f.Holders = append(f.Holders, check.HolderOf(j.now, child))
	f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", child.PID), Text: fmt.Sprintf("state %s, parent %d", child.State, p.PID)})
	f.Advice = []string{fmt.Sprintf("look at what pid %d does: its end, or its program's start, lets the parent go on", child.PID)}
}
