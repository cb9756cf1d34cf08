package hungtask

import (
	"fmt"
	"slices"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// stopped reports a process that stayed in state T and that nobody stopped at a terminal.
func (j *judge) stopped(was, now *snapshot.Process) []check.Finding {
	runtime := check.IsRuntime(now.Comm)
	if was.State != snapshot.Stopped || now.State != snapshot.Stopped || now.Terminal && !runtime && !j.waitedFor(now) || j.now.Frozen(now) != nil {
		return nil
	}
	seen := "state T in both looks, no controlling terminal"
	if now.Terminal {
		seen = "state T in both looks"
	}
	f := j.heldUp(now, "is stopped")
	f.Cause = "Somebody sent it SIGSTOP, or a debugger left it so; it runs no code until it gets SIGCONT"
	if now.Terminal {
		f.Cause = "It was stopped at its terminal (Ctrl-Z) or by SIGSTOP; it runs no code until it gets SIGCONT"
	}
	f.Evidence = append([]check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", now.PID), Text: seen}}, f.Evidence...)
	f.Remedies = []check.Remedy{{Action: "resume-process", Risk: "disruptive", Why: "SIGCONT lets it run on from where it stopped", Targets: []check.Target{check.ProcessTarget(now)}}}
	if runtime {
		f.Remedies[0].Risk = "safe"
	}
	return []check.Finding{f}
}

// waitedFor reports whether a process serves a FUSE file system with requests
// that wait, or that may wait where their number is not known.
func (j *judge) waitedFor(p *snapshot.Process) bool {
	return slices.ContainsFunc(j.now.FUSE, func(c snapshot.FUSEConnection) bool {
		return c.Waiting != 0 && slices.Contains(c.Servers, p.PID)
	})
}

// traced reports a process that a debugger held from one look to the other.
// strace stops what it follows as well, for an instant at each system call.
func (j *judge) traced(was, now *snapshot.Process) []check.Finding {
	before, after := was.Task(now.PID), now.Task(now.PID)
	if was.State != snapshot.Traced || now.State != snapshot.Traced || before == nil || after == nil ||
		before.Switches != after.Switches || after.Switches == 0 || j.now.Frozen(now) != nil {
		return nil
	}
	f := j.heldUp(now, "is held by a debugger")
	f.Cause = "Its debugger has not let it run since the first look; who that is could not be read"
	f.Advice = []string{"detach the debugger, or end it: what it attached to runs on, what it started itself may end with it"}
	f.Evidence = append([]check.Evidence{{Source: fmt.Sprintf("/proc/%d/task/%d/status", now.PID, now.PID),
		Text: fmt.Sprintf("state t in both looks and no context switch between them (%d)", after.Switches)}}, f.Evidence...)
	if now.Detail == nil || j.now.Process(now.Detail.Tracer) == nil {
		return []check.Finding{f}
	}
	tracer := j.now.Process(now.Detail.Tracer)
	label := check.Label(j.now, tracer)
	f.Title += ", " + label
	f.Cause = label + " has not let it run since the first look"
	f.Holders = append([]check.Holder{check.HolderOf(j.now, tracer)}, f.Holders...)
	f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/status", now.PID), Text: fmt.Sprintf("TracerPid %d", tracer.PID)})
	switch why := j.halted(tracer); {
	case why != "":
		f.Cause += ": it " + why + " itself"
		j.named[tracer.PID] = tracer.State == snapshot.Stopped
	case tracer.Terminal && f.Severity == check.Warning:
		f.Severity = check.Info
		f.Cause += "; it runs at a terminal, where somebody may be at work"
	}
	return []check.Finding{f}
}

// heldUp starts a finding of a process that is kept from running as a whole:
// what that is worth depends on who waits for it.
func (j *judge) heldUp(now *snapshot.Process, how string) check.Finding {
	f := check.Finding{
		ID:       check.Identity(name, now.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(j.now, now),
		Title:    check.Label(j.now, now) + j.serves(now) + " " + how,
		Harm:     "It answers nothing: whoever waits for it goes on waiting",
		Holders:  []check.Holder{check.HolderOf(j.now, now)},
		Since:    j.before.Taken,
	}
	if check.IsRuntime(now.Comm) {
		f.Severity, f.Subject.Kind, f.Harm = check.Critical, "runtime", harmOf(now.Comm)
	}
	for _, c := range j.now.FUSE {
		if !slices.Contains(c.Servers, now.PID) {
			continue
		}
		f.Severity = check.Critical
		f.Harm = "It serves a FUSE file system: whoever touches that waits, and once a request is under way no signal ends the wait"
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/fd", now.PID), Text: "holds /dev/fuse open"})
		if c.Waiting > 0 {
			f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/sys/fs/fuse/connections/%d/waiting", c.Minor), Text: check.Count(c.Waiting, "request") + " without an answer"})
		}
	}
	return f
}

// serves names the containers that a process of a runtime stands beside: those of its children.
func (j *judge) serves(p *snapshot.Process) string {
	if p.Container != "" || !check.IsRuntime(p.Comm) {
		return ""
	}
	var names []string
	for _, child := range j.now.Children(p.PID) {
		if child.Container == "" {
			continue
		}
		if name := check.ContainerName(j.now, child.Container); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " of container " + check.Tally(names, 3)
}

// harmOf says what a part of a runtime holds up when it does not run.
func harmOf(comm string) string {
	switch comm {
	case "dockerd":
		return "Every docker command waits for ever, and kubelet's with it where it uses docker; containers run on"
	case "containerd":
		return "No container can be started, stopped or removed; docker info and docker version wait; containers run on"
	case "crio", "cri-dockerd":
		return "No container can be started, stopped or removed, and the node goes NotReady; containers run on"
	case "containerd-shim", "conmon":
		return "Its container can be neither stopped nor entered, and its end is not noticed; the container runs on"
	case "kubelet":
		return "The node goes NotReady and its pods are not managed; containers run on"
	}
	return "Whoever called it, a runtime or a person, waits until it goes on"
}
