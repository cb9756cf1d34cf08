package plan

import (
	"fmt"
	"path"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// Acts on processes. Each target is a pid and its start time, which heal pins by
// a pidfd.

func nudge(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		t.Children = deadOf(h, t.PID)
		out = append(out, Step{
			Does:    fmt.Sprintf("send SIGCHLD to %s, which catches it and has %s", process(t), check.Count(len(t.Children), "dead child")),
			Command: fmt.Sprintf("kill -CHLD %d", t.PID),
			Target:  t,
			Holds:   []string{same(t), "it still catches SIGCHLD"},
			Then:    []string{"none of these dead children is left"},
		})
	}
	return out
}

func resume(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		t.Switches = switches(h, t.PID)
		s := Step{
			NotBefore: h.Taken.Add(stopMeant), Until: fmt.Sprintf("%s must stay stopped for a minute, or somebody stopped it for a moment only", process(t)),
			Does:    fmt.Sprintf("send SIGCONT to %s, which is stopped", process(t)),
			Command: fmt.Sprintf("kill -CONT %d", t.PID),
			Target:  t,
			Holds:   []string{same(t), "it is still stopped, by nobody's debugger", "it has not run for a minute"},
			Then:    []string{"it is not stopped"},
			Affects: []string{"it runs on from where it stopped; who waits for its stop, at a terminal or in a script, is told"},
		}
		if p := h.Process(t.PID); p != nil {
			s.Refused = meant(h, p.Container)
		}
		if s.Refused == "" && t.Switches == 0 {
			s.Refused = uncounted("stays stopped")
		}
		out = append(out, s)
	}
	return out
}

// stopMeant is how long a stop may be somebody's work in progress.
const stopMeant = time.Minute

// switches is how often a process's first thread has run: the same number later
// means that it did not run in between. 0 is not known.
func switches(h *snapshot.Host, pid int) uint64 {
	p := h.Process(pid)
	if p == nil {
		return 0
	}
	for _, t := range p.Tasks {
		if t.TID == pid {
			return t.Switches
		}
	}
	return 0
}

func thaw(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		g := h.Cgroup(t.Cgroup)
		if g == nil {
			continue
		}
		t.Path, t.Inode = g.Freezer, g.Inode
		word := "0"
		if path.Base(t.Path) == "freezer.state" {
			word = "THAWED"
		}
		s := Step{
			Does:    fmt.Sprintf("thaw cgroup %s", t.Cgroup),
			Command: "echo " + word + " > " + quote(t.Path),
			Target:  t,
			Holds:   []string{"it is the same cgroup and still frozen, not by one above it", "no runtime calls its container paused"},
			Then:    []string{"it is not frozen"},
			Affects: []string{"all processes in it and below run on from where they were"},
		}
		s.Refused = meant(h, g.Container)
		out = append(out, s)
	}
	return out
}

// uncounted is why a process is left alone of which the number of switches is not known.
func uncounted(what string) string {
	return fmt.Sprintf("how often it has run cannot be read, so nobody can tell whether it %s; run sexton as root", what)
}

// meant says why a container may stand still on purpose, "" if it does not.
func meant(h *snapshot.Host, container string) string {
	c := h.Container(container)
	if h.Paused(container) {
		return fmt.Sprintf("its container %s is paused on purpose; unpause it by its runtime", check.ContainerName(h, container))
	}
	for _, r := range h.Runtimes {
		if container != "" && (c == nil || c.State == "") && r.Err != "" {
			return fmt.Sprintf("%s does not say whether its container %s is paused on purpose: see why: sexton scan", r.Kind, check.ContainerName(h, container))
		}
	}
	return ""
}

func reap(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		out = append(out, Step{
			Does:   fmt.Sprintf("let %s reap %s that it was given and never waits for, by a waitid(2) that is put into it for an instant", process(t), check.Count(len(t.Children), "dead child")),
			Target: t,
			Holds: []string{same(t), "each of them is still dead, still its child and still not its own", "it is neither stopped, frozen nor traced",
				"its seccomp filter lets waitid through"},
			Then:    []string{"none of these dead children is left", "it runs as before"},
			Affects: []string{"it stands still for at most 50 ms at a time"},
		})
	}
	return out
}

func process(t check.Target) string { return named(t.Comm, t.PID) }

func named(comm string, pid int) string { return fmt.Sprintf("%s (pid %d)", comm, pid) }

func same(t check.Target) string {
	return fmt.Sprintf("pid %d is still the process that started %d ticks after boot", t.PID, t.Start)
}

// targeted is the process of a target, nil if it has ended.
func targeted(h *snapshot.Host, t check.Target) *snapshot.Process {
	return h.Same(snapshot.ID{PID: t.PID, Start: t.Start})
}

func deadOf(h *snapshot.Host, pid int) (dead []snapshot.ID) {
	for _, c := range h.Children(pid) {
		if c.Zombie() {
			dead = append(dead, c.ID())
		}
	}
	return dead
}

func reaped(h *snapshot.Host, s Step) (bool, string) {
	left := 0
	for _, id := range s.Target.Children {
		if p := h.Same(id); p != nil && p.Zombie() {
			left++
		}
	}
	return left == 0, fmt.Sprintf("%s of %d left", check.Count(left, "dead child"), len(s.Target.Children))
}

func resumed(h *snapshot.Host, s Step) (bool, string) {
	p := targeted(h, s.Target)
	return p == nil || p.State != snapshot.Stopped, "it is still stopped"
}

func thawed(h *snapshot.Host, s Step) (bool, string) {
	g := h.Cgroup(s.Target.Cgroup)
	return g == nil || !g.Frozen && !g.Freezing, "it is still frozen"
}
