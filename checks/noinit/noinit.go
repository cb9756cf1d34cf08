package noinit

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

const name = "no-init"

const (
	sigint, sigquit, sigsegv, sigterm, sigchld = 2, 3, 11, 15, 17
)

// Check reports each container whose PID 1 does not reap orphans or does not pass TERM on.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Inits},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	first := map[string]*snapshot.Process{} // by container: the oldest, should there be two
	var found []check.Finding
	for i := range p.Now.Processes {
		one := &p.Now.Processes[i]
		if older := first[one.Container]; isInit(p.Now, one) && (older == nil || one.Start < older.Start) {
			first[one.Container] = one
		}
	}
	for i := range p.Now.Processes {
		one := &p.Now.Processes[i]
		if first[one.Container] != one {
			continue
		}
		if l := judge(p.Now, one); l.title != "" {
			found = append(found, finding(p.Now, one, l))
		}
	}
	return found
}

// isInit reports whether a process is the PID 1 that a runtime started in a
// container. A program in it may make a PID namespace of its own, with a PID 1
// that is not the container's (a browser's sandbox does).
func isInit(h *snapshot.Host, p *snapshot.Process) bool {
	if p.Container == "" || !p.First() || p.State == snapshot.Dead {
		return false
	}
	parent := h.Process(p.PPID)
	return parent == nil || parent.Container != p.Container
}

// A lack is what a PID 1 does not do.
type lack struct {
	title, cause, harm, advice string
	evidence                   []check.Evidence
}

const (
	dropped = "It leaves TERM at its default, and the kernel drops what PID 1 has no handler for"
	unasked = "leaves SIGCHLD at its default, so nothing tells it that an orphan has died"
)

// judge goes by what the kernel knows: a program that catches a signal, blocks
// it as for signalfd, or waits in sigtimedwait is believed to act on it.
func judge(h *snapshot.Host, one *snapshot.Process) lack {
	d := one.Detail
	if settings.IsInit(one.Comm) || settings.IsInit(d.Exe) {
		return lack{}
	}
	takes := func(signal int) bool {
		return d.Caught.Has(signal) || d.Masked.Has(signal) || strings.HasPrefix(d.Wchan, "do_sigtimedwait")
	}
	passes, reaps := takes(sigterm), takes(sigchld) || d.Ignored.Has(sigchld)
	if isShell(one) {
		return judgeShell(h, one, passes)
	}
	child := below(h, one)
	waits := d.Wchan == "do_wait" && child != nil // perhaps for any child: then it reaps
	term, mend := dropped, wrap(h, one)
	if d.Ignored.Has(sigterm) {
		term, mend = "It ignores TERM", "let it handle TERM, or name the signal that ends it as STOPSIGNAL; an init in front of it passes TERM on in vain"
	}
	switch {
	case passes && (reaps || waits):
		return lack{}
	case !passes && waits:
		return lack{title: "waits for " + child.Comm + " and passes no TERM to it", cause: term + ", while it waits for its child", harm: settings.Killed + "; the child never hears of it",
			advice: settings.UseExec, evidence: childEvidence(child)}
	case !passes && !reaps:
		return lack{title: "reaps no orphans and takes no TERM", cause: term + "; it " + unasked, harm: settings.Killed + "; " + settings.Zombies, advice: mend}
	case !passes:
		return lack{title: "takes no TERM", cause: term, harm: settings.Killed, advice: mend}
	}
	return lack{title: "reaps no orphans", cause: "It " + unasked, harm: strings.ToUpper(settings.Zombies[:1]) + settings.Zombies[1:], advice: wrap(h, one)}
}

// below returns the oldest living child in the same container.
func below(h *snapshot.Host, one *snapshot.Process) *snapshot.Process {
	for _, child := range h.Children(one.PID) {
		if child.State != snapshot.Dead && child.Container == one.Container {
			return child
		}
	}
	return nil
}

func childEvidence(child *snapshot.Process) []check.Evidence {
	return []check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", child.PID), Text: child.Comm + " is a child of PID 1"}}
}

// wrap says how to put an init in front of a program.
func wrap(h *snapshot.Host, one *snapshot.Process) string {
	if c := h.Container(one.Container); c != nil && c.Pod != "" {
		return settings.UseInit(settings.Kubernetes)
	}
	return settings.UseInit(settings.Image)
}

func finding(h *snapshot.Host, one *snapshot.Process, l lack) check.Finding {
	d := one.Detail
	s := check.SubjectOf(h, one)
	s.Kind = "container"
	f := check.Finding{
		ID:       name + "/" + one.Container,
		Severity: check.Info,
		Subject:  s,
		Title:    fmt.Sprintf("PID 1, %s, %s", check.Label(h, one), l.title),
		Cause:    l.cause,
		Harm:     l.harm,
		Evidence: append([]check.Evidence{{Source: fmt.Sprintf("/proc/%d/status", one.PID),
			Text: fmt.Sprintf("NSpid ends with 1; SigCgt %016x SigIgn %016x SigBlk %016x: TERM is bit 0x4000, SIGCHLD 0x10000", uint64(d.Caught), uint64(d.Ignored), uint64(d.Masked))}}, l.evidence...),
		Holders: []check.Holder{check.HolderOf(h, one)},
		Advice:  []string{l.advice},
	}
	if h.Uptime > 0 {
		f.Since = h.Started(one)
	}
	return f
}
