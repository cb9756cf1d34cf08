package noinit

import (
	"fmt"
	"strings"

	"sexton.dev/check"
	"sexton.dev/settings"
	"sexton.dev/snapshot"
)

// judgeShell looks at a shell, which reaps but may keep TERM from the program below it.
func judgeShell(h *snapshot.Host, one *snapshot.Process, passes bool) lack {
	child := below(h, one)
	switch {
	case child == nil || interactive(one):
		return lack{} // nothing below it to stop, or a person's shell
	case !passes:
		return lack{title: "is a shell that passes no TERM to " + child.Comm,
			cause:    "A shell in front of the program (shell form, or a script without exec) does not catch TERM, and as PID 1 it is not ended by it",
			harm:     settings.Killed + "; the program never hears of it",
			advice:   settings.UseExec,
			evidence: childEvidence(child)}
	case trapWaits(one, child):
		return lack{title: "is a shell whose trap waits for " + child.Comm,
			cause:    "The shell traps TERM, but runs the trap only when the command in the foreground has ended",
			harm:     "Each stop waits out the grace period and ends in KILL, unless " + child.Comm + " ends by itself",
			advice:   "start the program in the background and wait for it (PROGRAM & wait $!), with a trap that passes TERM on; or end the script with exec PROGRAM",
			evidence: []check.Evidence{{Source: fmt.Sprintf("/proc/%d/status", child.PID), Text: "ignores neither INT nor QUIT, as a command in the background would: it runs in the foreground"}}}
	}
	return lack{}
}

// interactive reports whether a shell reads commands from a person: it ignores
// TERM then (bash, dash, ash, zsh).
func interactive(p *snapshot.Process) bool { return p.Detail.Ignored.Has(sigterm) }

// trapWaits reports whether a shell that traps TERM will not come to it before
// the child ends. A script's command in the background starts with INT and QUIT
// ignored; one that catches both since tells nothing, nor does a shell that
// ignored them itself. A bash with an EXIT trap catches whatever may end it,
// SEGV too, and ends at once.
func trapWaits(shell, child *snapshot.Process) bool {
	d, own := child.Detail, shell.Detail
	if d == nil || own.Wchan != "do_wait" || own.Caught.Has(sigsegv) {
		return false
	}
	for _, signal := range []int{sigint, sigquit} {
		if d.Ignored.Has(signal) || own.Ignored.Has(signal) {
			return false
		}
	}
	return !d.Caught.Has(sigint) || !d.Caught.Has(sigquit)
}

// isShell goes by the executable too: a script's comm is the script's name. Of
// busybox's programs the shell and init catch SIGCHLD.
func isShell(p *snapshot.Process) bool {
	if settings.IsShell(p.Comm) || settings.IsShell(p.Detail.Exe) {
		return true
	}
	return p.Detail.Exe == "busybox" && (p.Detail.Caught.Has(sigchld) || strings.HasSuffix(p.Comm, ".sh"))
}
