package cli

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// concerns reports whether a finding is about the target: its subject or one
// of its holders is, or, for a dead child, its parent.
func (v *sight) concerns(t *target, f check.Finding) bool {
	if t.finding != "" {
		return f.ID == t.finding
	}
	pids := []int{f.Subject.PID}
	for _, h := range f.Holders {
		pids = append(pids, h.PID)
	}
	for _, pid := range pids {
		if t.mount != nil {
			break // a process that holds one mount has other troubles, too
		}
		if p := v.now.Process(pid); p != nil && v.within(t, p) {
			return true
		}
	}
	if p := t.process; p != nil && p.Zombie() && f.Subject.PID == p.PPID && f.Check == "unreaped-children" {
		return true
	}
	if t.mount != nil && slices.Contains(t.mount.Devices, f.Subject.Device) && f.Subject.Device != "" {
		return true
	}
	path := f.Subject.Path
	return f.Subject.Container != "" && slices.Contains(t.containers, f.Subject.Container) ||
		t.cgroup != "" && (path == t.cgroup || strings.HasPrefix(path, t.cgroup+"/"))
}

// within reports whether a process belongs to the target.
func (v *sight) within(t *target, p *snapshot.Process) bool {
	switch {
	case t.process != nil:
		return p.PID == t.process.PID
	case t.cgroup != "":
		return p.Cgroup == t.cgroup || strings.HasPrefix(p.Cgroup, t.cgroup+"/")
	}
	return p.Container != "" && slices.Contains(t.containers, p.Container)
}

// story tells in sentences what the target is and what is wrong with it: a
// line for the target and one for each finding.
func (v *sight) story(t *target, found []check.Finding) string {
	var s []string
	switch {
	case t.process != nil:
		s = append(s, strings.Join(v.processStory(t.process), " "))
	case len(t.containers) > 0:
		for _, id := range t.containers {
			s = append(s, v.containerStory(id))
		}
	case t.mount != nil:
		s = append(s, v.mountStory(t.mount))
	case t.cgroup != "":
		s = append(s, fmt.Sprintf("Cgroup %s has %s.", t.cgroup, v.census(t)))
	}
	for _, f := range found {
		text := []string{sentence(f.Title), sentence(f.Cause), sentence(f.Harm)}
		for _, a := range f.Advice {
			text = append(text, sentence("Advice: "+a))
		}
		s = append(s, strings.Join(text, " "))
	}
	if len(found) == 0 {
		var names []string
		for _, c := range v.checks {
			names = append(names, c.Name)
		}
		clear := "Nothing is wrong with it"
		if v.CannotTell() {
			clear = "Nothing was found, but it cannot be told that nothing is wrong with it"
		}
		s = append(s, clear+": it was looked at by "+strings.Join(names, ", ")+".")
	}
	for i := range s {
		s[i] = strings.ReplaceAll(s[i], "\n", `\n`) // a container's own; the answer's part its lines
	}
	return strings.Join(s, "\n")
}

func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

func (v *sight) processStory(p *snapshot.Process) []string {
	s := fmt.Sprintf("%s is %s; it started %s ago", check.Label(v.now, p), stateWords(p), check.Age(v.now.Taken.Sub(v.now.Started(p))))
	if parent := v.now.Process(p.PPID); parent != nil {
		s += fmt.Sprintf(" and is a child of %s", check.Label(v.now, parent))
	}
	out := []string{s + "."}
	if !p.Zombie() {
		return out
	}
	parent := "its parent"
	if q := v.now.Process(p.PPID); q != nil {
		parent = check.Label(v.now, q)
	}
	return append(out, fmt.Sprintf("It has ended (%s) and %s has not waited for it.", exitWords(p.ExitCode), parent),
		"It still answers kill -0 and stands in ps: whoever watches its pid file, polls it with kill -0 or counts processes by name (monit, pidof, a liveness script) takes it for alive.",
		"It cannot be killed: it is dead. Only its parent can take it away, or the parent's end.")
}

func stateWords(p *snapshot.Process) string {
	switch {
	case p.HalfDead():
		return fmt.Sprintf("half dead (state Z, %s still there)", check.Count(p.Threads-1, "thread"))
	case p.Zombie():
		return "dead, a zombie (state Z)"
	}
	words := map[snapshot.State]string{
		snapshot.Running: "running", snapshot.Sleeping: "sleeping", snapshot.Uninterruptible: "blocked in the kernel (state D)",
		snapshot.Stopped: "stopped (state T)", snapshot.Traced: "stopped by a debugger (state t)", snapshot.Idle: "idle",
	}
	if w := words[p.State]; w != "" {
		return w
	}
	return "in state " + string(p.State)
}

// exitWords reads a wait status.
func exitWords(status int) string {
	if signal := status & 0x7f; signal != 0 {
		return fmt.Sprintf("killed by signal %d", signal)
	}
	return fmt.Sprintf("exit status %d", status>>8&0xff)
}

func (v *sight) containerStory(id string) string {
	s := "Container " + check.ContainerName(v.now, id)
	c := v.now.Container(id)
	if c == nil {
		return s + " is not there any more: it has no process, and no runtime that answers lists it."
	}
	var about []string
	for _, part := range []struct{ name, value string }{{"", c.Runtime}, {"image ", c.Image}, {"pod ", c.Pod}, {"pod UID ", c.PodUID}, {"", c.State}} {
		if part.value != "" {
			about = append(about, part.name+part.value)
		}
	}
	if len(about) > 0 {
		s += " (" + strings.Join(about, ", ") + ")"
	}
	s += " has " + v.census(&target{containers: []string{id}})
	if init := v.now.Process(c.Init); init != nil {
		s += fmt.Sprintf("; its first process is %s (pid %d)", init.Comm, init.PID)
	}
	return s + "."
}

// census counts a target's processes by what they do.
func (v *sight) census(t *target) string {
	alive, dead, blocked, stopped := 0, 0, 0, 0
	for i := range v.now.Processes {
		p := &v.now.Processes[i]
		if !v.within(t, p) {
			continue
		}
		switch p.State {
		case snapshot.Dead:
			dead++
		case snapshot.Uninterruptible:
			alive, blocked = alive+1, blocked+1
		case snapshot.Stopped:
			alive, stopped = alive+1, stopped+1
		default:
			alive++
		}
	}
	s := check.Count(alive, "living process")
	if v.now.Nested {
		s += " in this PID namespace"
	}
	for _, more := range []struct {
		n    int
		what string
	}{{dead, "dead"}, {blocked, "blocked in the kernel"}, {stopped, "stopped"}} {
		if more.n > 0 {
			s += fmt.Sprintf(", %s %s", check.Number(more.n), more.what)
		}
	}
	return s
}
