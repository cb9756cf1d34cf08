package oomruntime

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "oom-runtime"

// Check reports each part of a runtime that the kernel killed for want of memory.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Log},
	Uses:  []snapshot.Part{snapshot.Names, snapshot.Commands, snapshot.Fifos},
	Run:   run,
}

// A loss is one part of a runtime that was killed, once or again and again.
type loss struct {
	container, part string
	kills           []snapshot.LogEvent // the oldest first
}

func run(p check.Pass) (found []check.Finding) {
	var all []*loss
	for _, e := range check.Kills(p.Now, true) {
		l := loss{container: e.Container, part: part(e.Process)}
		i := slices.IndexFunc(all, func(o *loss) bool { return o.container == l.container && o.part == l.part })
		if i < 0 {
			i = len(all)
			all = append(all, &l)
		}
		all[i].kills = append(all[i].kills, e)
	}
	for _, l := range all {
		found = append(found, l.finding(p))
	}
	return found
}

// part names what was killed.
func part(comm string) string {
	switch {
	case snapshot.RuncInit(comm):
		return "runc-init"
	case comm == "containerd-shim":
		return "shim"
	}
	return comm
}

var called = map[string]string{"runc-init": "runc's init", "shim": "a shim"}

func (l *loss) finding(p check.Pass) check.Finding {
	h, last := p.Now, l.kills[len(l.kills)-1]
	what := l.part
	if called[what] != "" {
		what = called[what]
	}
	f := check.Finding{ID: name + "/" + l.part, Severity: check.Info, Since: l.kills[0].Time, Subject: check.Subject{Kind: "runtime", Name: what}}
	if l.container != "" {
		f.ID = name + "/" + l.container + "/" + l.part
		f.Subject = check.ContainerSubject(h, l.container)
		what += " of container " + f.Subject.Name
	}
	f.Title = fmt.Sprintf("the kernel killed %s for want of memory (pid %d)", what, last.PID)
	if n := len(l.kills); n > 1 {
		f.Title = fmt.Sprintf("the kernel killed %s for want of memory %s times, last pid %d", what, check.Number(n), last.PID)
	}
	if p.IsRecent(last.Time) {
		f.Severity = check.Warning
	}
	f.Cause = l.cause(last)
	const shown = 3
	for _, e := range l.kills[max(0, len(l.kills)-shown):] {
		f.Evidence = append(f.Evidence, check.Logged(e))
	}
	left := l.left(h)
	f.Holders = left.holders
	f.Evidence = append(f.Evidence, left.evidence...)
	f.Harm = harmless[l.part]
	if f.Harm == "" {
		f.Harm = "What it was doing ended half done; nothing is seen to be blocked by it now"
	}
	if left.says != "" {
		f.Severity, f.Harm = check.Critical, left.says
	}
	f.Advice = []string{"raise the container's memory limit: runc's init needs some of it before the program starts, and again for each exec"}
	if last.Global {
		f.Advice = []string{"the host has too little memory for what runs on it: give containers limits, and the runtime an oom_score_adj of -999, as its units do"}
	}
	return f
}

// harmless says what a kill costs if nothing is seen to be blocked.
var harmless = map[string]string{
	"runc-init":  "The container did not start, or the exec failed; nothing is seen to be blocked by it now",
	"dockerd":    "Every docker command failed until it was started again; containers run on",
	"containerd": "No container could be started or stopped until it was started again; containers run on",
}

func (l *loss) cause(last snapshot.LogEvent) string {
	switch {
	case last.Global:
		return "The host ran out of memory, and of all its processes the kernel chose this one"
	case l.part == "runc-init":
		text := "It is in the container's memory cgroup while it prepares the container, and the limit was reached there"
		if last.Limit > 0 {
			text += ": " + check.Size(last.Limit)
		}
		return text
	}
	return "The memory limit of a cgroup that it is in was reached"
}

// A rest is what a kill left blocked.
type rest struct {
	says     string // "" for nothing
	holders  []check.Holder
	evidence []check.Evidence
}

// old is how long a call of a runtime takes at most, if nothing is wrong.
const old = 30 * time.Second

// left finds what is still blocked by a kill.
func (l *loss) left(h *snapshot.Host) (r rest) {
	if l.part == "runc-init" {
		for _, f := range h.Fifos {
			if f.Reader != nil && (f.Container == l.container || l.container == "" && ended(h, f)) {
				r.add(h, h.Same(f.Reader.ID()), "waits in the open of "+f.Path)
				r.says = "The runc that starts the container waits for its init in exec.fifo, for ever: see exec-fifo; the shim, containerd and docker wait for that, and so does who inspects the container"
			}
		}
	}
	if l.container == "" || r.says != "" {
		return r
	}
	for i := range h.Processes {
		p := &h.Processes[i]
		call := (p.Comm == "runc" || p.Comm == "crun") && len(p.Argv) > 0 && p.Argv[len(p.Argv)-1] == l.container
		if at := h.Started(p); call && !at.IsZero() && h.Taken.Sub(at) > old {
			r.add(h, p, "runs for "+check.Age(h.Taken.Sub(at))+": "+strings.Join(p.Argv, " "))
			r.says = "A call of the runtime for this container has not ended since, and whoever waits for it holds the container's lock: docker inspect, stop and exec of it hang"
		}
	}
	if c := h.Container(l.container); l.part == "shim" && c != nil {
		if first := h.Process(c.Init); first != nil && !shimOf(h, first) {
			r.add(h, first, "its parent is no shim")
			r.says = "Its container has no shim any more: nobody sees it end, and it can be neither stopped nor entered by its runtime"
		}
	}
	return r
}

func (r *rest) add(h *snapshot.Host, p *snapshot.Process, how string) {
	if p == nil {
		return
	}
	r.holders = append(r.holders, check.HolderOf(h, p))
	r.evidence = append(r.evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d", p.PID), Text: p.Comm + " " + how})
}

// ended reports whether the init that a fifo is for is no more.
func ended(h *snapshot.Host, f snapshot.Fifo) bool {
	if f.Init == nil {
		return false
	}
	p := h.Same(*f.Init)
	return p == nil || p.State == snapshot.Dead
}

func shimOf(h *snapshot.Host, p *snapshot.Process) bool {
	parent := h.Process(p.PPID)
	return parent != nil && (parent.Comm == "containerd-shim" || parent.Comm == "conmon")
}
