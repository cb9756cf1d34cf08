package hungtask

import (
	"fmt"
	"path"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// frozen reports each cgroup that stayed frozen, or on the way to it, and that
// no runtime calls paused. What is below another one is part of that.
func (j *judge) frozen() []check.Finding {
	var found []check.Finding
	for i := range j.now.Cgroups {
		g := &j.now.Cgroups[i]
		if !j.stayedFrozen(g.Path) || j.belowFrozen(g.Path) || j.paused(g.Container) {
			continue
		}
		if f, ok := j.frozenGroup(g); ok {
			found = append(found, f)
		}
	}
	return found
}

func (j *judge) stayedFrozen(cgroup string) bool {
	was, now := j.before.Cgroup(cgroup), j.now.Cgroup(cgroup)
	return was != nil && now != nil && (was.Frozen || was.Freezing) && (now.Frozen || now.Freezing)
}

func (j *judge) belowFrozen(cgroup string) bool {
	for p := path.Dir(cgroup); len(p) > 1; p = path.Dir(p) {
		if j.stayedFrozen(p) {
			return true
		}
	}
	return false
}

// paused reports whether a runtime paused the container or one around it.
func (j *judge) paused(container string) bool {
	for depth := 0; container != "" && depth < 64; depth++ { // an id cannot be below itself, but a file may say so
		if j.now.Paused(container) {
			return true
		}
		c := j.now.Container(container)
		if c == nil {
			break
		}
		container = c.Outer
	}
	return false
}

// frozenGroup makes the finding; ok is false if nothing lives in the group.
func (j *judge) frozenGroup(g *snapshot.Cgroup) (f check.Finding, ok bool) {
	var comms []string
	var held []check.Holder
	f = check.Finding{ID: name + g.Path, Severity: check.Warning, Since: j.before.Taken, Subject: j.group(g)}
	for i := range j.now.Processes {
		p := &j.now.Processes[i]
		below := p.Cgroup == g.Path || strings.HasPrefix(p.Cgroup, g.Path+"/") && j.stayedFrozen(p.Cgroup) // a path of another hierarchy may only look so
		if p.State == snapshot.Dead || !below {
			continue
		}
		comms = append(comms, p.Comm)
		if len(held) < 3 {
			held = append(held, check.HolderOf(j.now, p))
		}
	}
	what := "cgroup " + g.Path
	f.Harm = "Its processes run no code and answer nothing until they are thawed"
	if g.Container != "" {
		what = "container " + f.Subject.Name
		f.Harm += ": docker exec and probes fail, and a stop waits out its grace period"
	}
	f.Title = fmt.Sprintf("%s is frozen, with %s in it", what, check.Count(len(comms), "process"))
	f.Cause = j.whyFrozen(g)
	f.Evidence = []check.Evidence{{Source: "cgroup " + g.Path, Text: "frozen in both looks: " + check.Tally(comms, 4)}}
	f.Remedies = []check.Remedy{{Action: "thaw", Risk: "disruptive", Why: "its processes run on from where they were",
		Targets: []check.Target{{Kind: "cgroup", Cgroup: g.Path}}}}
	if g.Freezing {
		names, culprits := j.unfreezable(g)
		f.Title = fmt.Sprintf("%s was told to freeze and does not get there, with %s in it", what, check.Count(len(comms), "process"))
		f.Cause = names + "; who asked for it, such as docker pause, waits"
		f.Harm = strings.Replace(f.Harm, "Its processes run no code and answer nothing until they are", "What is frozen already runs no code and answers nothing until it is", 1)
		f.Evidence[0].Text = "freezing in both looks: " + check.Tally(comms, 4)
		held = append(culprits, held...)[:min(3, len(culprits)+len(held))]
	}
	f.Holders = held
	return f, len(comms) > 0
}

// group makes a cgroup the subject of a finding.
func (j *judge) group(g *snapshot.Cgroup) check.Subject {
	if g.Container != "" {
		s := check.ContainerSubject(j.now, g.Container)
		s.Path = g.Path
		return s
	}
	switch path.Ext(g.Path) {
	case ".service", ".scope", ".slice":
		return check.Subject{Kind: "unit", Name: path.Base(g.Path), Path: g.Path}
	}
	return check.Subject{Kind: "host", Name: j.now.Name, Path: g.Path}
}

func (j *judge) whyFrozen(g *snapshot.Cgroup) string {
	if g.Container == "" {
		return "Somebody froze it, as systemctl freeze, a checkpoint or a write to its freezer does, and has not thawed it"
	}
	says := "no runtime told whether it was paused on purpose"
	if c := j.now.Container(g.Container); c != nil && c.State != "" {
		says = fmt.Sprintf("its runtime says %q, not paused", c.State)
	}
	return "Its cgroup was frozen behind the runtime's back, or a pause was never ended: " + says
}

// unfreezable names the processes that keep a cgroup from freezing: a thread in
// D comes to the freezer only when its wait is over.
func (j *judge) unfreezable(g *snapshot.Cgroup) (names string, culprits []check.Holder) {
	var labels []string
	for i := range j.now.Processes {
		p := &j.now.Processes[i]
		was := j.before.Same(p.ID())
		if p.Cgroup == g.Path && was != nil && len(j.stillBlocked(was, p)) > 0 {
			labels = append(labels, fmt.Sprintf("%s (pid %d)", p.Comm, p.PID))
			culprits = append(culprits, check.HolderOf(j.now, p))
		}
	}
	if len(labels) == 0 {
		return "A task in it has not come to the freezer, and which one could not be told", nil
	}
	is := "is"
	if len(labels) > 1 {
		is = "are"
	}
	return fmt.Sprintf("%s %s blocked in the kernel and cannot be frozen", check.Tally(labels, 3), is), culprits
}
