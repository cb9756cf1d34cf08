package oomcontainer

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

const name = "oom-container"

// Check reports each container in which the kernel killed for want of memory.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Log, snapshot.MemoryUse},
	Uses:  []snapshot.Part{snapshot.Names, snapshot.Earlier},
	Run:   run,
}

func run(p check.Pass) (found []check.Finding) {
	told := map[string]bool{}
	for _, v := range victims(p.Now) {
		told[v.container] = true
		found = append(found, v.finding(p))
	}
	for i := range p.Now.Cgroups {
		g := &p.Now.Cgroups[i]
		switch {
		case g.Memory == nil || g.Container == "" || nested(g):
		case g.Memory.Waiting:
			found = append(found, waiting(p.Now, g))
		case g.Memory.Kills > 0 && !told[g.Container] && !inner(p.Now, g):
			found = append(found, counted(p, g))
		}
	}
	return found
}

// A victim is a container, or a pod of which no more is known, with its kills.
type victim struct {
	container, pod string
	kills          []snapshot.LogEvent // the oldest first
}

// victims are those that the kernel's log tells of, in its order.
func victims(h *snapshot.Host) (out []*victim) {
	for _, e := range check.Kills(h, false) {
		if e.Container == "" && e.PodUID == "" {
			continue // the host's own, or the log does not say whose
		}
		v := victim{container: e.Container, pod: e.PodUID}
		if v.container != "" {
			v.pod = ""
		}
		i := slices.IndexFunc(out, func(o *victim) bool { return o.container == v.container && o.pod == v.pod })
		if i < 0 {
			i = len(out)
			out = append(out, &v)
		}
		out[i].kills = append(out[i].kills, e)
	}
	return out
}

func (v *victim) finding(p check.Pass) check.Finding {
	h, last := p.Now, v.kills[len(v.kills)-1]
	f := check.Finding{ID: name + "/" + cmp.Or(v.container, v.pod), Severity: check.Info, Since: v.kills[0].Time,
		Subject: check.ContainerSubject(h, v.container)}
	what := "container " + f.Subject.Name
	if v.container == "" {
		f.Subject = check.Subject{Kind: "container", Name: "pod " + v.pod}
		what = f.Subject.Name
	}
	if p.IsRecent(last.Time) {
		f.Severity = check.Warning
	}
	gone := v.gone(h)
	if gone != "" {
		what += ", " + gone + ","
	}
	var comms []string
	for _, e := range v.kills {
		comms = append(comms, cmp.Or(e.Process, "a process"))
	}
	killed := check.Tally(comms, 3)
	if len(v.kills) == 1 && last.PID != 0 {
		killed += fmt.Sprintf(" (pid %d)", last.PID)
	}
	f.Title = fmt.Sprintf("%s ran out of memory: the kernel killed %s", what, killed)
	if last.Global {
		f.Title = fmt.Sprintf("the host ran out of memory: the kernel killed %s in %s", killed, strings.TrimSuffix(what, ","))
	}
	f.Cause = cause(h, v.container, last)
	f.Harm = "What was killed did not end by itself: its work is lost. The container runs on without it, and docker inspect says OOMKilled=false unless it was the first process"
	if gone != "" {
		f.Harm = "What was killed did not end by itself: its work is lost"
	}
	const shown = 3
	for _, e := range v.kills[max(0, len(v.kills)-shown):] {
		f.Evidence = append(f.Evidence, check.Logged(e))
	}
	if more := len(v.kills) - shown; more > 0 {
		f.Evidence = append(f.Evidence, check.Evidence{Source: "kernel log", Text: check.Count(more, "earlier kill")})
	}
	if g := ownGroup(h, v.container); g != nil {
		f.Evidence = append(f.Evidence, counters(g))
	}
	f.Advice = advice(last.Global)
	return f
}

// gone says how a container that has no process any more stands, "" if it has one.
func (v *victim) gone(h *snapshot.Host) string {
	if v.container == "" || slices.ContainsFunc(h.Processes, func(p snapshot.Process) bool { return p.Container == v.container }) {
		return ""
	}
	switch c := h.Container(v.container); {
	case c == nil || c.State == "":
		return "which is gone"
	case c.State == "exited":
		return "which has exited"
	default:
		return "which is " + c.State
	}
}

func cause(h *snapshot.Host, container string, last snapshot.LogEvent) string {
	if last.Global {
		return "The host ran out of memory, not the container: of all its processes the kernel chose one of this container"
	}
	limit := last.Limit
	if g := ownGroup(h, container); limit == 0 && g != nil {
		limit = g.Memory.Limit
	}
	if limit == 0 {
		return "The memory limit of the container, or of a cgroup around it, was reached and nothing could be given back"
	}
	return fmt.Sprintf("The memory limit of %s was reached and nothing could be given back", check.Size(limit))
}

func advice(global bool) []string {
	if global {
		return []string{"give containers memory limits, so that one cannot use up the host, and see which process grew"}
	}
	return []string{"see what in it grows, or raise its memory limit; whoever restarts it needs the reason, which docker inspect may not have"}
}

// ownGroup is the cgroup of a container itself, nil if nothing is known of its memory.
func ownGroup(h *snapshot.Host, container string) *snapshot.Cgroup {
	for i := range h.Cgroups { // by path: what is above comes first
		if g := &h.Cgroups[i]; container != "" && g.Container == container && g.Memory != nil {
			return g
		}
	}
	return nil
}

// nested reports whether a cgroup is below that of its container.
func nested(g *snapshot.Cgroup) bool {
	own := g.Path[strings.LastIndexByte(g.Path, '/')+1:]
	return !strings.Contains(own, g.Container)
}

// inner reports whether a cgroup's count may be that of a container within its own.
func inner(h *snapshot.Host, g *snapshot.Cgroup) bool {
	return slices.ContainsFunc(h.Cgroups, func(below snapshot.Cgroup) bool {
		return below.Memory != nil && below.Memory.Kills > 0 && below.Container != g.Container && strings.HasPrefix(below.Path, g.Path+"/")
	})
}

func counters(g *snapshot.Cgroup) check.Evidence {
	text := check.Count(int(min(g.Memory.Kills, 1<<31)), "kill") + " so far"
	if g.Memory.Limit > 0 {
		text += fmt.Sprintf(", limit %s, %s in use", check.Size(g.Memory.Limit), check.Size(g.Memory.Used))
	}
	return check.Evidence{Source: "memory cgroup " + g.Path, Text: text}
}

// counted is of a container whose cgroup knows of kills that the log does not tell of.
func counted(p check.Pass, g *snapshot.Cgroup) check.Finding {
	f := check.Finding{ID: name + "/" + g.Container, Severity: check.Info, Subject: check.ContainerSubject(p.Now, g.Container)}
	times := int(min(g.Memory.Kills, 1<<31))
	f.Title = fmt.Sprintf("container %s ran out of memory: the kernel killed %s in it", f.Subject.Name, check.Count(times, "process"))
	f.Cause = "Its memory limit, or that of a cgroup around it, was reached; whom the kernel killed, and when, its log does not tell any more"
	f.Harm = "What was killed did not end by itself: its work is lost"
	f.Evidence, f.Advice = []check.Evidence{counters(g)}, advice(false)
	if p.Before == nil {
		return f
	}
	if was := p.Before.Cgroup(g.Path); was != nil && was.Memory != nil && was.Memory.Kills < g.Memory.Kills {
		f.Severity, f.Since = check.Warning, p.Before.Taken
	}
	return f
}

// waiting is of a container whose processes stand still until somebody gives it memory.
func waiting(h *snapshot.Host, g *snapshot.Cgroup) check.Finding {
	f := check.Finding{ID: name + "/" + g.Container + "/waiting", Severity: check.Critical, Subject: check.ContainerSubject(h, g.Container)}
	f.Title = fmt.Sprintf("container %s is out of memory, and its processes wait for some", f.Subject.Name)
	f.Cause = "Its limit was reached, and it is set to let its processes wait instead of killing one (docker run --oom-kill-disable)"
	f.Harm = "Whatever of it needs memory stands still in state D, and docker exec and stop with it"
	f.Evidence = []check.Evidence{{Source: "memory cgroup " + g.Path, Text: fmt.Sprintf("oom_kill_disable 1, under_oom 1, limit %s, %s in use", check.Size(g.Memory.Limit), check.Size(g.Memory.Used))}}
	f.Advice = []string{"raise its limit (docker update --memory), or end a process in it: KILL gets through"}
	return f
}
