package pidbudget

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "pid-budget"

// Check reports each limit on tasks that is nearly spent or that refused a fork.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Budgets},
	Run:   run,
}

// A bound is one limit: a cgroup's or the host's.
type bound struct {
	what, source string
	used, most   int
	refused      uint64 // forks refused between the looks
	cgroup       string // "" for the host
	container    string
}

func run(p check.Pass) []check.Finding {
	var found []check.Finding
	for _, b := range bounds(p) {
		share := float64(b.used) / float64(b.most)
		if share < p.Limits.BudgetWarning && b.refused == 0 {
			continue
		}
		f := b.finding(p.Now, share)
		if share >= p.Limits.BudgetCritical || b.refused > 0 {
			f.Severity = check.Critical
		}
		found = append(found, f)
	}
	return found
}

func bounds(p check.Pass) []bound {
	var out []bound
	l := p.Now.Limits
	if l.PIDMax > 0 {
		out = append(out, bound{what: "kernel.pid_max", source: "/proc/sys/kernel/pid_max", used: l.Tasks, most: l.PIDMax})
	}
	if l.ThreadsMax > 0 {
		out = append(out, bound{what: "kernel.threads-max", source: "/proc/sys/kernel/threads-max", used: l.Tasks, most: l.ThreadsMax})
	}
	for _, g := range p.Now.Cgroups {
		if g.PIDsMax == 0 {
			continue
		}
		b := bound{what: "pids.max of cgroup " + g.Path, source: g.Path + "/pids.current", used: g.PIDs, most: g.PIDsMax, cgroup: g.Path, container: g.Container}
		if p.Before != nil {
			if was := p.Before.Cgroup(g.Path); was != nil && g.PIDsFail > was.PIDsFail {
				b.refused = g.PIDsFail - was.PIDsFail
			}
		}
		out = append(out, b)
	}
	return out
}

func (b bound) finding(h *snapshot.Host, share float64) check.Finding {
	f := check.Finding{
		ID:       name + "/" + cmp.Or(b.cgroup, b.what),
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "host", Name: h.Name, Path: b.cgroup},
		Title:    fmt.Sprintf("%s of %s pids of %s used (%.0f %%)", check.Number(b.used), check.Number(b.most), b.what, 100*share),
		Harm:     "When it is spent fork and clone fail with EAGAIN: no new process or thread, no docker exec, no health probe",
		Evidence: []check.Evidence{{Source: b.source, Text: fmt.Sprintf("%d of %d", b.used, b.most)}},
	}
	if b.container != "" {
		f.Subject.Kind, f.Subject.Container, f.Subject.Name = "container", b.container, check.ContainerName(h, b.container)
		if c := h.Container(b.container); c != nil {
			f.Subject.Pod = c.Pod
		}
	}
	if b.refused > 0 {
		f.Harm = fmt.Sprintf("%s refused between the two looks: fork and clone fail with EAGAIN now", check.Count(int(b.refused), "fork"))
		f.Evidence = append(f.Evidence, check.Evidence{Source: b.cgroup + "/pids.events", Text: fmt.Sprintf("max grew by %d", b.refused)})
	}
	users := b.users(h)
	var words []string
	for _, u := range users {
		words = append(words, u.text(h))
		f.Holders = append(f.Holders, check.HolderOf(h, u.process))
	}
	f.Cause = "Most of it is used by " + strings.Join(words, "; ")
	if len(users) == 0 {
		f.Cause = "Who uses it could not be told"
	}
	return f
}

// A user is a process with the tasks that stand on its account: its threads and its dead children.
type user struct {
	process       *snapshot.Process
	threads, dead int
}

func (u user) text(h *snapshot.Host) string {
	s := check.Label(h, u.process) + ": " + check.Count(u.threads, "thread")
	if u.dead > 0 {
		s += ", " + check.Count(u.dead, "dead child")
	}
	return s
}

// users returns the three processes below the bound with most tasks on their account.
func (b bound) users(h *snapshot.Host) []user {
	account := map[int]*user{}
	of := func(p *snapshot.Process) *user {
		if account[p.PID] == nil {
			account[p.PID] = &user{process: p}
		}
		return account[p.PID]
	}
	for i := range h.Processes {
		p := &h.Processes[i]
		if b.cgroup != "" && p.Cgroup != b.cgroup && !strings.HasPrefix(p.Cgroup, b.cgroup+"/") {
			continue
		}
		if parent := h.Process(p.PPID); p.Zombie() && parent != nil {
			of(parent).dead++
		} else {
			of(p).threads += max(1, p.Threads)
		}
	}
	var out []user
	for _, u := range account {
		if u.threads == 0 {
			u.threads = max(1, u.process.Threads) // a parent outside of the cgroup
		}
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b user) int {
		return cmp.Or(cmp.Compare(b.threads+b.dead, a.threads+a.dead), cmp.Compare(a.process.PID, b.process.PID))
	})
	return out[:min(3, len(out))]
}
