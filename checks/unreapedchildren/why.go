package unreapedchildren

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

const sigchld = 17

// A reason says why a parent does not reap.
type reason struct {
	text     string
	halted   bool // it runs no code now, or too little, and would perhaps reap if it did
	meant    bool // somebody halted it on purpose
	evidence []check.Evidence
	holders  []check.Holder // who halts it
	remedy   check.Remedy
	advice   string
}

// daemons are the programs that are safe to resume: nobody stops one of them for a purpose.
var daemons = []string{"dockerd", "containerd", "containerd-shim"}

func (f *family) why() reason {
	p, d := f.parent, f.parent.Detail
	if p.Kernel {
		return reason{text: f.name() + " is a kernel thread: what it starts is reaped by the kernel itself, and that has not happened", halted: true,
			advice: "see what the kernel is busy with: its log, and sexton scan --check hung-task"}
	}
	if r := f.halted(); r.halted {
		return r
	}
	if d == nil {
		return reason{text: "Why " + f.name() + " does not reap could not be read"}
	}
	bits := f.seen("status", fmt.Sprintf("SigCgt %016x SigIgn %016x SigBlk %016x SigPnd|ShdPnd %016x; SIGCHLD is signal 17, bit 0x10000", d.Caught, d.Ignored, d.Masked, d.Pending))
	says := func(text string) reason { return reason{text: f.name() + " " + text, evidence: bits} }
	these := "these"
	if len(f.dead) == 1 {
		these = "this one"
	}
	switch pending := d.Pending.Has(sigchld); {
	case d.Masked.Has(sigchld) && pending && d.Caught.Has(sigchld):
		return says("catches SIGCHLD but blocks it, and one is pending: its handler does not run")
	case d.Masked.Has(sigchld) && pending:
		return says("blocks SIGCHLD, as for signalfd or sigwait, and does not fetch the one that is pending")
	case d.Caught.Has(sigchld) && pending:
		r := says("catches SIGCHLD and has not come to the one that is pending")
		r.halted, r.advice = true, "see whether it gets processor time: cpu.max and cpu.stat of its cgroup"
		return r
	case d.Caught.Has(sigchld):
		r := says("catches SIGCHLD and does not wait for " + these + ": it missed the signal, or waits only for children that it knows")
		r.remedy = check.Remedy{Action: "nudge-parent", Risk: "safe", Why: "a parent that missed the signal reaps on the next one", Targets: []check.Target{check.ProcessTarget(p)}}
		return r
	case d.Ignored.Has(sigchld):
		return says("ignores SIGCHLD: the kernel reaps what ends from then on, not what had ended before")
	case d.Masked.Has(sigchld):
		return says("blocks SIGCHLD, as for signalfd or sigwait, and does not wait for " + these)
	case d.Wchan == "do_wait":
		bits = append(bits, f.seen("wchan", d.Wchan)...)
		return says("leaves SIGCHLD at its default and is in wait(2), for certain other children only")
	case strings.HasPrefix(d.Wchan, "do_sigtimedwait"):
		bits = append(bits, f.seen("wchan", d.Wchan)...)
		return says("takes signals by sigwait, which hides whether SIGCHLD is one of them, and does not wait for " + these)
	}
	return says("leaves SIGCHLD at its default and has not waited for " + these)
}

// halted says why the parent runs no code. One look proves nothing: a debugger
// stops it and a disk blocks it for an instant.
func (f *family) halted() reason {
	p := f.parent
	stayed := func(s snapshot.State) bool { return p.State == s && f.was.State == s }
	if g := f.host.Frozen(p); g != nil {
		return f.frozen(g)
	}
	switch {
	case stayed(snapshot.Stopped):
		by := "is stopped (SIGSTOP)"
		if p.Terminal {
			by = "is stopped, by SIGSTOP or from its terminal,"
		}
		r := reason{text: f.name() + " " + by + " and runs no code", halted: true, evidence: f.seen("stat", "state T in both looks"),
			remedy: check.Remedy{Action: "resume-process", Risk: "disruptive", Why: "SIGCONT lets it run on and reap", Targets: []check.Target{check.ProcessTarget(p)}}}
		if slices.Contains(daemons, p.Comm) {
			r.remedy.Risk = "safe"
		}
		return r
	case stayed(snapshot.Traced):
		r := reason{text: f.name() + " is held by a debugger", halted: true, evidence: f.seen("stat", "state t in both looks"),
			advice: "let it go: the debugger's detach, or the debugger's end"}
		if p.Detail == nil {
			return r
		}
		if tracer := f.host.Process(p.Detail.Tracer); tracer != nil {
			r.text += ", " + check.Label(f.host, tracer)
			r.holders = []check.Holder{check.HolderOf(f.host, tracer)}
		}
		return r
	case stayed(snapshot.Uninterruptible) && f.ranNot(): // who starts programs is in D each time, until they are executed
		return reason{text: f.name() + " is itself blocked in the kernel", halted: true,
			evidence: f.seen("status", fmt.Sprintf("state D in both looks and no context switch between them (%d)", p.Detail.Switches)),
			advice:   "see what it waits for: sexton scan --check hung-task"}
	}
	return reason{}
}

// ranNot reports whether the parent is proved not to have run between the looks.
func (f *family) ranNot() bool {
	was, is := f.was.Detail, f.parent.Detail
	return was != nil && is != nil && was.Switches == is.Switches && is.Switches > 0
}

func (f *family) frozen(g *snapshot.Cgroup) reason {
	r := reason{halted: true, evidence: []check.Evidence{{Source: "cgroup " + g.Path, Text: "frozen"}}}
	if f.host.Paused(f.parent.Container) {
		r.meant = true
		r.text = fmt.Sprintf("%s runs no code: its runtime says that container %s is paused", f.name(), check.ContainerName(f.host, f.parent.Container))
		r.advice = "nothing, if the pause is meant; unpaused, it runs on and may reap"
		return r
	}
	r.text = f.name() + " is in a frozen cgroup and runs no code"
	r.remedy = check.Remedy{Action: "thaw", Risk: "disruptive", Why: "thawed, it runs on and may reap", Targets: []check.Target{{Kind: "cgroup", Cgroup: g.Path}}}
	return r
}

// name names the parent in short: the title has told its place.
func (f *family) name() string { return fmt.Sprintf("%s (pid %d)", f.parent.Comm, f.parent.PID) }

func (f *family) seen(file, text string) []check.Evidence {
	return []check.Evidence{{Source: fmt.Sprintf("/proc/%d/%s", f.parent.PID, file), Text: text}}
}
