package noinit

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "no-init"

const (
	sigint, sigquit, sigterm, sigchld = 2, 3, 15, 17
)

// Check reports each container whose PID 1 does not reap orphans or does not pass TERM on.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Inits},
	Run:   run,
}

var inits = []string{
	"tini", "tini-static", "docker-init", "podman-init", "dumb-init", "catatonit", "sexton-init", "s6-svscan", "s6-linux-init",
	"runit", "runsvdir", "my_init", "systemd", "init", "openrc-init", "supervisord", "pause", "conmon",
}

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"}

func run(p check.Pass) []check.Finding {
	var found []check.Finding
	for i := range p.Now.Processes {
		one := &p.Now.Processes[i]
		if one.Container == "" || !one.First() || one.State == snapshot.Dead {
			continue
		}
		if lack := judge(p.Now, one); lack.title != "" {
			found = append(found, finding(p.Now, one, lack))
		}
	}
	return found
}

// A lack is what a PID 1 does not do.
type lack struct {
	title, cause, harm string
	evidence           []check.Evidence
}

// judge goes by what the kernel knows, not by the name alone: a program that
// catches a signal is believed to act on it.
func judge(h *snapshot.Host, one *snapshot.Process) lack {
	d := one.Detail
	if slices.Contains(inits, one.Comm) || slices.Contains(inits, d.Exe) {
		return lack{}
	}
	passes, reaps := d.Caught.Has(sigterm), d.Caught.Has(sigchld) || d.Ignored.Has(sigchld) || d.Masked.Has(sigchld)
	if isShell(one) {
		return judgeShell(h, one, passes)
	}
	switch {
	case passes && reaps:
		return lack{}
	case !passes && !reaps:
		return lack{"reaps no orphans and takes no TERM", "it leaves SIGCHLD and TERM at their default, and the kernel drops what PID 1 has no handler for",
			"docker exec sessions and probes leave zombies; each stop waits out the grace period and ends in KILL", nil}
	case !passes:
		return lack{"takes no TERM", "it leaves TERM at its default, and the kernel drops what PID 1 has no handler for",
			"each stop waits out the grace period and ends in KILL", nil}
	}
	return lack{"reaps no orphans", "it leaves SIGCHLD at its default", "docker exec sessions and probes leave zombies", nil}
}

// judgeShell looks at a shell, which reaps but may keep TERM from the program below it.
func judgeShell(h *snapshot.Host, one *snapshot.Process, passes bool) lack {
	var below *snapshot.Process
	for _, child := range h.Children(one.PID) {
		if child.State != snapshot.Dead && child.Container == one.Container {
			below = child
			break
		}
	}
	switch {
	case below == nil:
		return lack{} // an interactive or idle shell: nothing below it to stop
	case !passes:
		return lack{"is a shell that passes no TERM to " + below.Comm, "a shell in front of the program (shell form, or a script without exec) does not catch TERM, and as PID 1 it is not ended by it",
			"each stop waits out the grace period and ends in KILL; the program never hears of it",
			[]check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", below.PID), Text: fmt.Sprintf("%s is a child of the shell", below.Comm)}}}
	case below.Detail != nil && !(below.Detail.Ignored.Has(sigint) && below.Detail.Ignored.Has(sigquit)) && one.Detail.Wchan == "do_wait":
		return lack{"is a shell whose trap waits for " + below.Comm, "the shell traps TERM, but runs the trap only when the command in the foreground has ended",
			"each stop waits out the grace period, unless the program ends by itself",
			[]check.Evidence{{Source: fmt.Sprintf("/proc/%d/status", below.PID), Text: "does not ignore INT and QUIT: it runs in the foreground"}}}
	}
	return lack{}
}

// isShell goes by the executable too: a script's comm is the script's name.
func isShell(p *snapshot.Process) bool {
	script := p.Detail.Exe == "busybox" && strings.HasSuffix(p.Comm, ".sh")
	return slices.Contains(shells, p.Comm) || slices.Contains(shells, p.Detail.Exe) || script
}

func finding(h *snapshot.Host, one *snapshot.Process, l lack) check.Finding {
	d := one.Detail
	s := check.SubjectOf(h, one)
	s.Kind = "container"
	advice := "docker run --init, or sexton-init as the entrypoint; a shell script ends with exec PROGRAM"
	if s.Pod != "" {
		advice = "sexton-init as the container's entrypoint, or shareProcessNamespace: true; a shell script ends with exec PROGRAM"
	}
	return check.Finding{
		ID:       name + "/" + one.Container,
		Severity: check.Info,
		Subject:  s,
		Title:    fmt.Sprintf("PID 1, %s, %s", check.Label(h, one), l.title),
		Cause:    strings.ToUpper(l.cause[:1]) + l.cause[1:],
		Harm:     strings.ToUpper(l.harm[:1]) + l.harm[1:],
		Evidence: append([]check.Evidence{{Source: fmt.Sprintf("/proc/%d/status", one.PID),
			Text: fmt.Sprintf("NSpid ends with 1; SigCgt %016x: TERM is bit 0x4000, SIGCHLD 0x10000", uint64(d.Caught))}}, l.evidence...),
		Holders: []check.Holder{check.HolderOf(h, one)},
		Advice:  []string{advice},
		Since:   h.Started(one),
	}
}
