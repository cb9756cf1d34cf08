package pidbudget

import (
	"cmp"
	_ "embed"
	"fmt"
	"path"
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
	name       string // of the limit, and whose it is
	source     string
	used, most int
	refused    uint64 // forks refused between the looks
	counted    string // the cgroup that counted them, if it is another one
	cgroup     string // "" for the host
	container  string
}

func (b *bound) share() float64 { return float64(b.used) / float64(b.most) }

// exact is the limit below which somebody counted the tasks that a program has:
// it may be full for ever, and only a refused fork tells that it is too low.
const exact = 10

func run(p check.Pass) []check.Finding {
	var found []check.Finding
	bounds := append(host(p.Now), cgroups(p)...)
	blame(bounds, p.Limits)
	for i := range bounds {
		b := &bounds[i]
		if b.refused == 0 && (b.share() < p.Limits.BudgetWarning || b.most < exact) {
			continue
		}
		f := b.finding(p.Now, p.Limits)
		if b.share() >= p.Limits.BudgetCritical || b.refused > 0 {
			f.Severity = check.Critical
		}
		found = append(found, f)
	}
	return found
}

// host returns the lower of the host's two limits: the other one is not reached.
func host(h *snapshot.Host) []bound {
	l := h.Limits
	if l.Max() == 0 {
		return nil
	}
	limit := "kernel.pid_max"
	if l.PIDMax == 0 || l.ThreadsMax != 0 && l.ThreadsMax < l.PIDMax {
		limit = "kernel.threads-max"
	}
	return []bound{{name: limit, source: "/proc/sys/" + strings.Replace(limit, ".", "/", 1), used: l.Tasks, most: l.Max()}}
}

func cgroups(p check.Pass) []bound {
	var out []bound
	for _, g := range p.Now.Cgroups {
		if g.PIDsMax == 0 {
			continue
		}
		b := bound{name: "pids.max of cgroup " + g.Path, source: "pids.current of cgroup " + g.Path, used: g.PIDs, most: g.PIDsMax, cgroup: g.Path, container: g.Container}
		if c := p.Now.Container(g.Container); c != nil && c.Cgroup == g.Path {
			b.name = "pids.max of container " + check.ContainerName(p.Now, g.Container)
		}
		if p.Before != nil {
			if was := p.Before.Cgroup(g.Path); was != nil && g.PIDsFail > was.PIDsFail {
				b.refused = g.PIDsFail - was.PIDsFail
			}
		}
		out = append(out, b)
	}
	return out
}

// blame moves refused forks to the limit that refused them. Version 1, and
// version 2 before 6.11, count them where the fork was tried, though a cgroup
// above may have been full; later kernels count them in that one and above it.
//
// Source: Linux 6.12 kernel/cgroup/pids.c, pids_event.
func blame(bounds []bound, limits check.Limits) {
	for i := range bounds {
		b := &bounds[i]
		if b.refused == 0 || b.share() >= limits.BudgetWarning {
			continue
		}
		var fullest *bound
		for j := range bounds {
			other := &bounds[j]
			if related(b.cgroup, other.cgroup) && other.share() >= limits.BudgetWarning && (fullest == nil || other.share() > fullest.share()) {
				fullest = other
			}
		}
		if fullest != nil {
			if fullest.refused == 0 {
				fullest.refused, fullest.counted = b.refused, b.cgroup
			}
			b.refused = 0
		}
	}
}

// related reports whether one of two cgroups is below the other.
func related(a, b string) bool {
	return a != "" && b != "" && (strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/"))
}

func (b *bound) finding(h *snapshot.Host, limits check.Limits) check.Finding {
	use := fmt.Sprintf("%s of %s pids used", check.Number(b.used), check.Number(b.most))
	f := check.Finding{
		ID:       name + "/" + strings.TrimPrefix(cmp.Or(b.cgroup, b.name), "/"),
		Severity: check.Warning,
		Subject:  b.subject(h),
		Title:    fmt.Sprintf("%s (%.0f %%): %s", use, 100*b.share(), b.name),
		Harm:     "When it is spent fork and clone fail with EAGAIN: no new process or thread, no docker exec, no health probe",
		Evidence: []check.Evidence{{Source: b.source, Text: fmt.Sprintf("%d of %d", b.used, b.most)}},
	}
	if b.cgroup == "" {
		f.Harm = "When it is spent fork and clone fail with EAGAIN: nothing can be started on the host, no shell and no login"
	}
	if b.used >= b.most {
		f.Harm = strings.Replace(f.Harm, "When it is spent fork", "It is spent: fork", 1)
	}
	b.account(&f, h)
	if b.refused > 0 {
		f.Harm = fmt.Sprintf("%s refused between the two looks: fork and clone fail with EAGAIN now", check.Count(int(b.refused), "fork"))
		f.Evidence = append(f.Evidence, check.Evidence{Source: "pids.events of cgroup " + cmp.Or(b.counted, b.cgroup), Text: fmt.Sprintf("max grew by %d", b.refused)})
		if b.share() < limits.BudgetWarning {
			f.Title = fmt.Sprintf("%s refused by a limit on pids; %s now (%.0f %%): %s", check.Count(int(b.refused), "fork"), use, 100*b.share(), b.name)
			f.Cause = "It, or a limit around or below it, was reached between the looks, and is not any more. " + f.Cause
			f.Harm = "Programs see fork and clone fail with EAGAIN from time to time: a request, a probe or a job that was not done"
		}
	}
	return f
}

func (b *bound) subject(h *snapshot.Host) check.Subject {
	s := check.Subject{Kind: "host", Name: h.Name, Path: b.cgroup}
	switch ext := path.Ext(b.cgroup); {
	case b.container != "":
		s.Kind, s.Container, s.Name = "container", b.container, check.ContainerName(h, b.container)
		if c := h.Container(b.container); c != nil {
			s.Pod = c.Pod
		}
	case ext == ".service" || ext == ".scope" || ext == ".slice":
		s.Kind, s.Name = "unit", path.Base(b.cgroup)
	}
	return s
}
