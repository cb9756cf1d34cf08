package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// drawTree prints the processes of the host and then of each container, each
// as a tree with the dead folded under their parent.
func drawTree(p *page, h *snapshot.Host, wide bool) {
	groups := map[string]bool{}
	for i := range h.Processes {
		groups[h.Processes[i].Container] = true
	}
	t := &tree{host: h, wide: wide}
	for _, c := range append([]string{""}, containerOrder(h)...) {
		if !groups[c] {
			continue
		}
		t.container = c
		t.rows = nil
		p.line("%s", styled{bold, t.heading()})
		t.grow()
		p.table([]string{"PID", "STATE", "AGE", "PROCESS"}, t.rows)
		p.line("")
	}
}

func containerOrder(h *snapshot.Host) []string {
	var ids []string
	for _, c := range h.Containers {
		ids = append(ids, c.ID)
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(check.ContainerName(h, a), check.ContainerName(h, b)) })
	return ids
}

// A tree draws one container's processes, or the host's own.
type tree struct {
	host      *snapshot.Host
	container string
	wide      bool
	rows      [][]string
}

func (t *tree) heading() string {
	if t.container == "" {
		return "host " + t.host.Name
	}
	s := "container " + check.ContainerName(t.host, t.container)
	if c := t.host.Container(t.container); c != nil {
		for _, more := range []string{c.Runtime, c.Image, c.State} {
			if more != "" {
				s += ", " + more
			}
		}
		if c.Pod != "" {
			s += ", pod " + c.Pod
		}
	}
	return s
}

// grow adds the roots: processes whose parent is not in the same container.
func (t *tree) grow() {
	kernel := 0
	for i := range t.host.Processes {
		p := &t.host.Processes[i]
		if p.Container != t.container {
			continue
		}
		if p.Kernel && !t.wide {
			kernel++
			continue
		}
		if parent := t.host.Process(p.PPID); parent == nil || parent.Container != t.container {
			t.branch(p, 0)
		}
	}
	if kernel > 0 {
		t.rows = append(t.rows, []string{"", "", "", check.Count(kernel, "kernel thread") + " (-o wide shows them)"})
	}
}

func (t *tree) branch(p *snapshot.Process, depth int) {
	if depth > 64 { // a process table read while it changes might show a ring
		return
	}
	dead := deadChildren(t.host, p)
	t.row(p, depth, len(dead))
	if len(dead) > 0 {
		t.rows = append(t.rows, []string{"", "Z", "", strings.Repeat("  ", depth+1) + foldDead(t.host, dead)})
	}
	for _, child := range t.host.Children(p.PID) {
		if child.Container == t.container && !child.Zombie() && !(child.Kernel && !t.wide) {
			t.branch(child, depth+1)
		}
	}
}

func (t *tree) row(p *snapshot.Process, depth, dead int) {
	text := strings.Repeat("  ", depth) + p.Comm
	var notes []string
	if p.Threads > 1 {
		notes = append(notes, check.Count(p.Threads, "thread"))
	}
	if p.HalfDead() {
		notes = append(notes, "half dead: its first thread has ended")
	}
	if dead > 0 {
		notes = append(notes, check.Count(dead, "dead child")+" not reaped; SIGCHLD "+sigchld(p))
	}
	if waits := waitsFor(t.host, p); waits != "" {
		notes = append(notes, waits)
	}
	if t.host.Frozen(p) != nil {
		notes = append(notes, "frozen")
	}
	if len(notes) > 0 {
		text += "  [" + strings.Join(notes, "; ") + "]"
	}
	age := check.Age(t.host.Taken.Sub(t.host.Started(p)))
	t.rows = append(t.rows, []string{fmt.Sprint(p.PID), string(p.State), age, text})
}

// foldDead prints many dead children as one: "× 1,573 (curl × 1,570, sh × 3), oldest 3 d, +40/min".
func foldDead(h *snapshot.Host, dead []*snapshot.Process) string {
	var comms []string
	recent := 0
	for _, z := range dead {
		comms = append(comms, z.Comm)
		if h.Taken.Sub(h.Started(z)) <= 10*time.Minute {
			recent++
		}
	}
	oldest := h.Taken.Sub(h.Started(dead[0]))
	s := fmt.Sprintf("× %s dead (%s), oldest %s", check.Number(len(dead)), check.Tally(comms, 3), check.Age(oldest))
	span := min(oldest, 10*time.Minute).Minutes()
	if newest := h.Taken.Sub(h.Started(dead[len(dead)-1])); recent > 1 && oldest-newest >= 2*time.Second {
		s += fmt.Sprintf(", +%.*f/min", digits(float64(recent)/span), float64(recent)/span)
	}
	return s
}

// waitsFor says in what a process is blocked, and who stands behind a FUSE wait.
func waitsFor(h *snapshot.Host, p *snapshot.Process) string {
	var parts []string
	for _, t := range p.Tasks {
		if t.State == snapshot.Uninterruptible {
			parts = append(parts, strings.TrimSuffix("blocked in "+t.Wchan+", "+t.Syscall, ", "))
			break
		}
	}
	for _, c := range h.FUSE {
		if !slices.Contains(p.FUSE, c.Minor) {
			continue
		}
		for _, pid := range c.Servers {
			if server := h.Process(pid); server != nil && server.State != snapshot.Sleeping && server.State != snapshot.Running {
				parts = append(parts, fmt.Sprintf("FUSE server %s (pid %d) is in state %s", server.Comm, pid, server.State))
			}
		}
	}
	if p.Blocked {
		parts = append(parts, "mmap_lock held: ps(1) hangs on it")
	}
	return strings.Join(parts, "; ")
}

// digits keeps two figures of a rate below ten and no fraction above.
func digits(rate float64) int {
	if rate < 10 {
		return 1
	}
	return 0
}
