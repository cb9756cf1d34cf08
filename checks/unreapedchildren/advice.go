package unreapedchildren

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// remedies returns what can be done now. Nothing is reaped from a parent that
// runs no code: it cannot be attached to, or would reap by itself.
func (f *family) remedies(w reason, from origins) []check.Remedy {
	var out []check.Remedy
	if w.remedy.Action != "" {
		out = append(out, w.remedy)
	}
	if f.first() && f.parent.PID != 1 && !w.halted && !f.slow() {
		old, young := f.byAge(from.adopted)
		out = append(out, f.reap(old, "safe", "")...)
		out = append(out, f.reap(young, "disruptive", "; started less than 5 minutes ago, somebody may still come to ask for their status")...)
	}
	return out
}

// slow reports whether a parent may just be behind: it catches SIGCHLD, is in
// wait(2) at this moment, and few are dead.
func (f *family) slow() bool {
	const few = 10
	d := f.parent.Detail
	return d != nil && d.Caught.Has(sigchld) && d.Wchan == "do_wait" && len(f.dead) < few
}

// settled is the age from which on nobody is expected to ask for an orphan.
// When a process died the kernel does not tell: it is counted from its start.
const settled = 5 * time.Minute // as the remedy says

func (f *family) byAge(dead []*snapshot.Process) (old, young []*snapshot.Process) {
	for _, z := range dead {
		if f.host.Uptime > 0 && f.host.Taken.Sub(f.host.Started(z)) >= settled {
			old = append(old, z)
		} else {
			young = append(young, z)
		}
	}
	return old, young
}

// reap is the remedy for proved orphans.
func (f *family) reap(dead []*snapshot.Process, risk, age string) []check.Remedy {
	if len(dead) == 0 {
		return nil
	}
	why := fmt.Sprintf("%s of the dead are proved to be orphans: PID 1 did not start them and expects nothing of them", check.Number(len(dead)))
	if len(dead) == 1 {
		why = "1 of the dead is proved to be an orphan: PID 1 did not start it and expects nothing of it"
	}
	t := check.Target{Kind: "children", PID: f.parent.PID, Start: f.parent.Start, Comm: f.parent.Comm}
	for _, z := range dead {
		t.Children = append(t.Children, z.ID())
	}
	return []check.Remedy{{Action: "reap-by-ptrace", Risk: risk, Why: why + age, Targets: []check.Target{t}}}
}

// advice returns what keeps it from coming back.
func (f *family) advice(w reason, from origins) []string {
	var out []string
	if w.advice != "" {
		out = append(out, w.advice)
	}
	if w.halted {
		return out
	}
	if f.isHost() {
		return append(out, fmt.Sprintf("an init that does not reap has crashed or hangs: see its log and whether it answers (systemctl status); "+
			"if %s cannot be mended, only a reboot gives the pids back", f.parent.Comm))
	}
	if f.first() && len(from.adopted)+len(from.likely) > 0 {
		out = append(out, f.initAdvice()+"; it reaps what this PID 1 is given")
	}
	comm := f.parent.Comm
	switch n := len(from.own) + len(from.inside) + len(from.unclear); {
	case n > 0 && slices.Contains(daemons, comm):
		out = append(out, "see the log of "+comm+" for errors, and whether a newer version mends it: it is there to wait for them")
	case n > 0 && !f.given():
		out = append(out, "mend "+comm+": it must wait for the children that it starts")
	case len(from.own) > 0:
		out = append(out, "mend "+comm+": it must wait for the children that it starts; an init in front of it reaps orphans only, not these")
	}
	if n := len(from.inside) + len(from.unclear); n > 0 && f.given() && !slices.Contains(daemons, comm) {
		them := kinds(slices.Concat(from.inside, from.unclear))
		out = append(out, fmt.Sprintf("find out who starts %s: if %s does, it must be mended to wait for its children; if not, they are orphans, which an init as PID 1 would reap", them, comm))
	}
	return out
}

// kinds names the programs among the dead, each once.
func kinds(dead []*snapshot.Process) string {
	var names []string
	for _, z := range dead {
		if !slices.Contains(names, z.Comm) {
			names = append(names, z.Comm)
		}
		if len(names) == 4 {
			return strings.Join(names[:3], ", ") + " and others"
		}
	}
	return strings.Join(names, ", ")
}

// initAdvice says how to give PID 1's place to an init.
func (f *family) initAdvice() string {
	c := f.host.Container(f.parent.Container)
	switch {
	case c != nil && c.Pod != "":
		return "set shareProcessNamespace: true in the pod, or make sexton-init the container's entrypoint"
	case c != nil && (c.Runtime == "docker" || c.Runtime == "podman"):
		return "give the container an init: " + c.Runtime + " run --init, or sexton-init as its entrypoint"
	case f.parent.Container != "":
		return "give the container an init: sexton-init as its entrypoint, or docker run --init"
	}
	return "start it below an init, such as sexton-init, in its PID namespace"
}
