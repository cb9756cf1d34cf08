package unreapedchildren

import (
	"fmt"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

const sigchld = 17

// A reason says why a parent does not reap.
type reason struct {
	text     string
	passing  bool // it would reap if something else were mended
	evidence []check.Evidence
	remedy   check.Remedy
}

func (f *family) why() reason {
	p, d := f.parent, f.parent.Detail
	name := check.Label(f.host, p)
	source := func(file, text string) []check.Evidence {
		return []check.Evidence{{Source: fmt.Sprintf("/proc/%d/%s", p.PID, file), Text: text}}
	}
	switch {
	case p.Kernel:
		return reason{text: name + " is a kernel thread and reaps on its own time", passing: true}
	case p.State == snapshot.Stopped:
		return reason{text: name + " is stopped (SIGSTOP) and runs no code", passing: true,
			evidence: source("stat", "state T"),
			remedy:   check.Remedy{Action: "resume-process", Risk: "safe", Why: "SIGCONT lets it run and reap"}}
	case p.State == snapshot.Traced:
		return reason{text: name + " is stopped by a debugger", passing: true, evidence: source("stat", "state t")}
	case f.host.Frozen(p) != nil:
		return reason{text: name + " is in a frozen cgroup and runs no code", passing: true,
			evidence: []check.Evidence{{Source: "cgroup " + p.Cgroup, Text: "frozen"}},
			remedy:   check.Remedy{Action: "thaw", Risk: "disruptive", Why: "thawed, it runs and reaps"}}
	case p.State == snapshot.Uninterruptible:
		return reason{text: name + " is itself blocked in the kernel (state D)", passing: true, evidence: source("stat", "state D")}
	case d == nil:
		return reason{text: "why " + name + " does not reap could not be read"}
	}
	bits := source("status", fmt.Sprintf("SigCgt %016x SigIgn %016x SigBlk %016x; SIGCHLD is signal 17, bit 0x10000", d.Caught, d.Ignored, d.Masked))
	switch {
	case d.Caught.Has(sigchld) && d.Pending.Has(sigchld):
		return reason{text: name + " catches SIGCHLD and one is pending: it is busy or blocks the signal for long", passing: true, evidence: bits}
	case d.Caught.Has(sigchld):
		return reason{text: name + " catches SIGCHLD and does not wait for these: it missed the signal, or waits only for children that it knows", evidence: bits,
			remedy: check.Remedy{Action: "nudge-parent", Risk: "safe", Why: "a parent that missed the signal reaps on the next one"}}
	case d.Ignored.Has(sigchld):
		return reason{text: name + " ignores SIGCHLD: the kernel reaps what dies now, not what had died before it was ignored", evidence: bits}
	case d.Masked.Has(sigchld):
		return reason{text: name + " blocks SIGCHLD, as for signalfd or sigwait, and does not wait for these", evidence: bits}
	case d.Wchan == "do_wait":
		bits = append(bits, source("wchan", "do_wait")...)
		return reason{text: name + " leaves SIGCHLD at its default and waits for one other child only", evidence: bits}
	}
	return reason{text: name + " leaves SIGCHLD at its default and never waits", evidence: bits}
}
