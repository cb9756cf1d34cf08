package pidbudget

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// A user is a process with the tasks that stand on its account.
type user struct {
	process                 *snapshot.Process
	threads, children, dead int // its own threads, those of its living children, its dead children
}

func (u *user) text(h *snapshot.Host) string {
	var parts []string
	for _, part := range []struct {
		n    int
		noun string
	}{{u.threads, "thread"}, {u.children, "living child"}, {u.dead, "dead child"}} {
		if part.n > 0 {
			parts = append(parts, check.Count(part.n, part.noun))
		}
	}
	return check.Label(h, u.process) + ": " + strings.Join(parts, ", ")
}

// A ledger says who uses a bound.
type ledger struct {
	users       map[int]*user
	comms       []string // of the living and the dead, one for each process
	containers  map[string]int
	all         []group
	tasks, dead int
}

// A group is a process by its number of tasks.
type group struct{ pid, parent, threads int }

func (b *bound) ledger(h *snapshot.Host) *ledger {
	l := &ledger{users: map[int]*user{}, containers: map[string]int{}}
	of := func(p *snapshot.Process) *user {
		if l.users[p.PID] == nil {
			l.users[p.PID] = &user{process: p}
		}
		return l.users[p.PID]
	}
	for i := range h.Processes {
		p := &h.Processes[i]
		parent := h.Process(p.PPID)
		if !b.has(p) && !(p.Zombie() && inRoot(p) && parent != nil && b.has(parent)) {
			continue
		}
		n := max(1, p.Threads)
		l.comms = append(l.comms, p.Comm)
		l.containers[p.Container] += n
		l.tasks += n
		l.all = append(l.all, group{p.PID, p.PPID, n})
		switch {
		case p.Zombie() && parent != nil:
			of(parent).dead++
			l.dead++
		case p.Zombie():
			l.dead++
		default:
			of(p).threads = n
			if parent != nil && !parent.Kernel {
				of(parent).children++
			}
		}
	}
	return l
}

func (b *bound) has(p *snapshot.Process) bool {
	return b.cgroup == "" || p.Cgroup == b.cgroup || strings.HasPrefix(p.Cgroup, b.cgroup+"/")
}

// inRoot reports whether a process is shown in the root cgroup: version 1 shows
// the dead there, and counts them where they were.
func inRoot(p *snapshot.Process) bool { return p.Cgroup == "" || p.Cgroup == "/" }

// most is how many users are named.
const most = 3

// account says in a finding who uses the bound: those that have half of it by
// themselves, else those whose children do, else what it is spread over.
func (b *bound) account(f *check.Finding, h *snapshot.Host) {
	l := b.ledger(h)
	own := func(u *user) int { return u.threads + u.dead }
	top := l.top(own)
	owned := 0
	for _, u := range top {
		owned += own(u)
	}
	if 2*owned < b.used {
		top = l.top(func(u *user) int { return own(u) + u.children })
	} else {
		for _, u := range top {
			u.children = 0 // they are not what it is spent on
		}
	}
	var words []string
	for _, u := range top {
		words = append(words, u.text(h))
		f.Holders = append(f.Holders, check.HolderOf(h, u.process))
	}
	switch {
	case l.tasks == 0:
		f.Cause = "Who uses it could not be told"
		return
	case 2*l.has(top) >= b.used:
		f.Cause = "Most of it is used by " + strings.Join(words, "; ")
	case 2*l.tasks < b.used:
		f.Cause = fmt.Sprintf("Only %s of them could be seen: %s", check.Number(l.tasks), strings.Join(words, "; "))
	default:
		f.Cause = fmt.Sprintf("It is spread over %s: %s", check.Count(len(l.comms), "process"), check.Tally(l.comms, 5))
	}
	if id := l.mostIn(); b.cgroup == "" && id != "" && 2*l.containers[id] > b.used {
		f.Cause += fmt.Sprintf(". Container %s has %s of them", check.ContainerName(h, id), check.Number(l.containers[id]))
	}
	b.advise(f, l)
}

// mostIn returns the container with most tasks, "" for the host itself.
func (l *ledger) mostIn() string {
	best := ""
	for id, n := range l.containers {
		if n > l.containers[best] || n == l.containers[best] && id < best {
			best = id
		}
	}
	return best
}

// has counts the tasks of users and of their children, each once.
func (l *ledger) has(users []*user) int {
	n := 0
	for _, t := range l.all {
		if slices.ContainsFunc(users, func(u *user) bool { return u.process.PID == t.pid || u.process.PID == t.parent }) {
			n += t.threads
		}
	}
	return n
}

// top returns the users with most tasks, by a way to count them, that have a
// tenth of what the first one has.
func (l *ledger) top(count func(*user) int) []*user {
	var out []*user
	for _, u := range l.users {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *user) int {
		return cmp.Or(cmp.Compare(count(b), count(a)), cmp.Compare(a.process.PID, b.process.PID))
	})
	for i, u := range out {
		if i == most || 10*count(u) < count(out[0]) {
			return out[:i]
		}
	}
	return out
}

func (b *bound) advise(f *check.Finding, l *ledger) {
	if 4*l.dead >= b.used {
		f.Advice = []string{fmt.Sprintf("%s of them are dead and wait to be reaped: sexton scan --check unreaped-children", check.Number(l.dead))}
		return
	}
	by := "a higher number in pids.max"
	switch {
	case b.cgroup == "":
		by = "sysctl " + b.name
	case f.Subject.Pod != "":
		by = "podPidsLimit in kubelet's configuration"
	case b.container != "":
		by = "docker update --pids-limit"
	case f.Subject.Kind == "unit":
		by = "TasksMax= of the unit"
	}
	f.Advice = []string{"see whether that many are meant; if so, raise the limit: " + by}
}
