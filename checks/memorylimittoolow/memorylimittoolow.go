package memorylimittoolow

import (
	_ "embed"
	"fmt"
	"strings"

	"sexton.dev/check"
	"sexton.dev/settings"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "memory-limit-too-low"

const doubtful = 64 << 20 // bytes; a larger limit was used up by others than the init

// Check reports each container whose limit leaves no room for runc's init.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Places, snapshot.MemoryUse},
	Uses:  []snapshot.Part{snapshot.Names, snapshot.Log},
	Run:   run,
}

func run(p check.Pass) (found []check.Finding) {
	killed := map[string]snapshot.LogEvent{} // by container: the last init of it that was killed
	for _, e := range check.Kills(p.Now, true) {
		if snapshot.RuncInit(e.Process) && !e.Global {
			killed[e.Container] = e
		}
	}
	for i := range p.Now.Cgroups {
		g := &p.Now.Cgroups[i]
		if g.Memory == nil || g.Container == "" || !strings.HasSuffix(strings.TrimSuffix(g.Path, ".scope"), g.Container) {
			continue // its own limit, not that of something in it
		}
		kill, was := killed[g.Container]
		if limit := g.Memory.Limit; limit == 0 || limit >= settings.LeastMemory && !(was && limit < doubtful) {
			continue
		}
		found = append(found, finding(p, g, kill, was))
	}
	return found
}

func finding(p check.Pass, g *snapshot.Cgroup, kill snapshot.LogEvent, was bool) check.Finding {
	f := check.Finding{ID: name + "/" + g.Container, Severity: check.Info, Subject: check.ContainerSubject(p.Now, g.Container)}
	limit := check.Size(g.Memory.Limit)
	f.Title = fmt.Sprintf("container %s has a memory limit of %s, which leaves no room for runc's init", f.Subject.Name, limit)
	f.Cause, f.Harm = settings.InitCounts, settings.InitDies
	f.Evidence = []check.Evidence{{Source: "memory cgroup " + g.Path, Text: fmt.Sprintf("limit %s, %s in use", limit, check.Size(g.Memory.Used))}}
	if was {
		f.Severity, f.Since = check.Warning, kill.Time
		f.Evidence = append(f.Evidence, check.Logged(kill))
	}
	f.Advice = []string{settings.GiveInit}
	return f
}
