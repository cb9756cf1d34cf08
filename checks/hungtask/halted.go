package hungtask

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// runtimes are the processes that others wait for. A comm is cut to 15 bytes.
var runtimes = []string{"dockerd", "containerd", "containerd-shim", "crio", "conmon", "runc", "crun", "kubelet", "podman", "cri-dockerd"}

// stopped reports a process that stayed in state T and that nobody stopped at a terminal.
func (j *judge) stopped(was, now *snapshot.Process) []check.Finding {
	runtime := slices.Contains(runtimes, now.Comm) || strings.HasPrefix(now.Comm, "runc:[")
	if was.State != snapshot.Stopped || now.State != snapshot.Stopped || now.Terminal && !runtime || j.now.Frozen(now) != nil {
		return nil
	}
	f := check.Finding{
		ID:       check.Identity(name, now.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(j.now, now),
		Title:    check.Label(j.now, now) + " is stopped",
		Cause:    "Somebody sent it SIGSTOP, or it was left by a debugger; it runs no code until it gets SIGCONT",
		Harm:     "Whatever it serves waits for it",
		Evidence: []check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", now.PID), Text: "state T in both looks, no controlling terminal"}},
		Holders:  []check.Holder{check.HolderOf(j.now, now)},
		Remedies: []check.Remedy{{Action: "resume-process", Risk: "disruptive", Why: "SIGCONT lets it run on from where it stopped"}},
		Since:    j.before.Taken,
	}
	if runtime {
		f.Severity, f.Subject.Kind = check.Critical, "runtime"
		f.Harm = harmOf(now.Comm)
		f.Remedies[0].Risk = "safe"
	}
	for _, c := range j.now.FUSE {
		if slices.Contains(c.Servers, now.PID) {
			f.Severity = check.Critical
			f.Harm = "It serves a FUSE file system: whoever touches that waits, and no signal ends the wait"
			f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/fd", now.PID), Text: "holds /dev/fuse open"})
			if c.Waiting > 0 {
				f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/sys/fs/fuse/connections/%d/waiting", c.Minor), Text: check.Count(c.Waiting, "request") + " without an answer"})
			}
		}
	}
	return []check.Finding{f}
}

// harmOf says what a stopped part of a runtime holds up.
func harmOf(comm string) string {
	switch comm {
	case "dockerd":
		return "Every docker command waits for ever, and kubelet's with it where it uses docker; containers run on"
	case "containerd":
		return "No container can be started, stopped or removed; docker info and docker version wait; containers run on"
	case "containerd-shim", "conmon":
		return "Its container can be neither stopped nor entered, and its end is not noticed; the container runs on"
	case "kubelet":
		return "The node goes NotReady and its pods are not managed; containers run on"
	}
	return "The runtime's call that started it waits for ever"
}

// frozen reports each cgroup that stayed frozen and that no runtime calls paused.
func (j *judge) frozen() []check.Finding {
	var found []check.Finding
	for i := range j.now.Cgroups {
		g := &j.now.Cgroups[i]
		was := j.before.Cgroup(g.Path)
		if !g.Frozen || was == nil || !was.Frozen || g.Container != "" && j.now.Paused(g.Container) {
			continue
		}
		found = append(found, j.frozenGroup(g))
	}
	return found
}

func (j *judge) frozenGroup(g *snapshot.Cgroup) check.Finding {
	var comms []string
	f := check.Finding{ID: name + g.Path, Severity: check.Warning, Since: j.before.Taken,
		Subject: check.Subject{Kind: "host", Name: g.Path, Path: g.Path}}
	for i := range j.now.Processes {
		if p := &j.now.Processes[i]; p.Cgroup == g.Path && p.State != snapshot.Dead {
			comms = append(comms, p.Comm)
			if len(comms) <= 3 {
				f.Holders = append(f.Holders, check.HolderOf(j.now, p))
			}
		}
	}
	what, says := "cgroup "+g.Path, "no runtime could be asked whether it was paused on purpose"
	if g.Container != "" {
		f.Subject = check.Subject{Kind: "container", Name: check.ContainerName(j.now, g.Container), Container: g.Container, Path: g.Path}
		what = "container " + f.Subject.Name
		if c := j.now.Container(g.Container); c != nil && c.State != "" {
			f.Subject.Pod = c.Pod
			says = fmt.Sprintf("its runtime says %q, not paused", c.State)
		}
	}
	f.Title = fmt.Sprintf("%s is frozen, with %s in it", what, check.Count(len(comms), "process"))
	f.Cause = "Its cgroup was frozen behind the runtime's back, or a pause was never ended: " + says
	f.Harm = "Its processes run no code and answer nothing; docker exec and probes fail; a stop waits until they are thawed"
	f.Evidence = []check.Evidence{{Source: "cgroup " + g.Path, Text: "frozen in both looks: " + check.Tally(comms, 4)}}
	f.Remedies = []check.Remedy{{Action: "thaw", Risk: "disruptive", Why: "its processes run on from where they were"}}
	return f
}
