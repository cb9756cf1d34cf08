package runtimehung

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// layerName is a rung in a sentence.
func layerName(r snapshot.Rung) string {
	switch r {
	case snapshot.RungInit:
		return "runc's init"
	case snapshot.RungClient:
		return "the reader"
	case snapshot.RungShim, snapshot.RungProgram, snapshot.RungKernel:
		return "the " + string(r)
	}
	return string(r)
}

// whose says of which container a culprit is, or of which pod: its one shim has the
// sandbox's id and serves all of it.
func (j *judge) whose(c culprit) string {
	text := " of container "
	switch {
	case daemon(c.rung):
		text = " for container "
	case c.rung == snapshot.RungKernel:
		text = " below container "
	}
	text += check.ContainerName(j.now, c.container)
	x := j.now.Container(c.container)
	if x == nil || x.Pod == "" {
		return text
	}
	var names []string
	for _, id := range j.beside(c) {
		names = append(names, check.ContainerName(j.now, id))
	}
	if len(names) > 0 {
		return fmt.Sprintf(" of pod %s (%s)", x.Pod, check.Tally(names, 3))
	}
	return text + " of pod " + x.Pod
}

// beside returns the containers that a pod's shim serves beside the sandbox.
func (j *judge) beside(c culprit) []string {
	box := j.now.Container(c.container)
	if c.rung != snapshot.RungShim || box == nil || !box.Sandbox {
		return nil
	}
	return slices.DeleteFunc(j.containersBelow(c.process), func(id string) bool { return id == box.ID })
}

// containersBelow returns the containers of which a shim has a process.
func (j *judge) containersBelow(shim *snapshot.Process) (ids []string) {
	for _, p := range j.now.Children(shim.PID) {
		if p.Container != "" && !slices.Contains(ids, p.Container) {
			ids = append(ids, p.Container)
		}
	}
	return ids
}

// daemon reports whether a rung serves all containers.
func daemon(r snapshot.Rung) bool {
	switch r {
	case snapshot.RungDockerd, snapshot.RungContainerd, snapshot.RungCRIO, snapshot.RungCRIDockerd, snapshot.RungPodman:
		return true
	}
	return false
}

// harm says who waits for a rung: of a daemon all, or those of one container, or of all of a pod.
func harm(r snapshot.Rung, one, pod bool) string {
	if one {
		return "What is asked of this container waits, and so does what it writes; other containers are served"
	}
	switch r {
	case snapshot.RungDockerd:
		return "Every docker command, and the kubelet where it uses docker, waits; containers run on"
	case snapshot.RungContainerd:
		return "No container can be started, stopped or removed; docker version and docker info wait, and the node goes NotReady; containers run on"
	case snapshot.RungCRIO, snapshot.RungCRIDockerd, snapshot.RungPodman:
		return "No container can be started, stopped or removed, and the node goes NotReady; containers run on"
	case snapshot.RungShim, snapshot.RungConmon:
		if pod {
			return "No container of the pod can be started, stopped, entered or probed, and the end of none is noticed; deleted, the pod stays Terminating"
		}
		return "The container can be neither stopped nor entered, and its end is not noticed; after a docker stop its inspect waits too"
	case snapshot.RungChild, snapshot.RungInit:
		return "docker inspect, exec, stop and top of the container wait, each for ever; its pod stays ContainerCreating or Terminating"
	case snapshot.RungClient:
		return "The program stops at its next line of output, and its probes fail"
	}
	return "It answers nothing: exec and probes of the container fail, and its stop takes its whole grace period or never ends"
}

// losses says what is lost if the one at fault is killed.
func losses(h *snapshot.Host, c culprit) string {
	const first = "if it is killed: "
	switch c.rung {
	case snapshot.RungDockerd:
		if h.Settings != nil && h.Settings.Docker != nil && h.Settings.Docker.LiveRestore {
			return first + "live-restore is on: containers run on, and the new dockerd takes them over"
		}
		return first + "no live-restore is known of: containers run on until dockerd starts again, which then stops them all"
	case snapshot.RungContainerd:
		return first + "containers run on below their shims, and a new containerd finds them; what is under way fails"
	case snapshot.RungCRIO, snapshot.RungCRIDockerd, snapshot.RungPodman:
		return first + "containers run on, and a new one finds them; what is under way fails"
	case snapshot.RungConmon:
		return first + "its container runs on unwatched, with its log and its exit code lost: not to heal"
	case snapshot.RungShim:
		return first + "its container ends with it, and all of its pod where the pod shares a shim: never to heal"
	case snapshot.RungChild:
		return first + "the one operation fails and can be tried again; container and shim run on"
	case snapshot.RungInit:
		return first + "the start or exec that it is for fails; a container that runs already runs on"
	case snapshot.RungKernel:
		return "a kill does not end it: the wait is the kernel's"
	case snapshot.RungClient:
		return "to kill the shim would end the container"
	}
	return first + "the container ends"
}

// debug says whether dockerd logs what it does, and how to make it without a restart.
func (j *judge) debug(c culprit) []string {
	if c.rung != snapshot.RungDockerd && c.rung != snapshot.RungContainerd {
		return nil
	}
	for _, x := range j.now.Ladder.Of(snapshot.RungDockerd) {
		p := j.now.Same(x.ID())
		if p == nil || c.rung == snapshot.RungDockerd && p.PID != c.process.PID {
			continue
		}
		file := "/etc/docker/daemon.json"
		on, known := debugFlag(p.Argv)
		if s := j.now.Settings; s != nil && s.Docker != nil && s.Docker.PID == p.PID {
			if s.Docker.File != "" {
				file = s.Docker.File
			}
			on, known = on || s.Docker.Debug, true
		}
		switch {
		case on:
			return []string{"dockerd's debug is on: its log has each request, \"Calling GET ...\", and the last without an end is what hangs"}
		case !known:
			return []string{fmt.Sprintf("whether dockerd's debug is on could not be read; to turn it on without a restart: \"debug\": true in %s, then kill -HUP %d", file, p.PID)}
		}
		late := ""
		if p.State == snapshot.Stopped {
			late = " (a stopped one reads it when it runs on)"
		}
		return []string{fmt.Sprintf("dockerd's debug is off; to turn it on without a restart: \"debug\": true in %s, then kill -HUP %d%s", file, p.PID, late)}
	}
	return nil
}

// debugFlag reads dockerd's command line; known is false if that could not be read.
func debugFlag(argv []string) (on, known bool) {
	for i, a := range argv {
		a = strings.TrimPrefix(a, "-")
		on = on || slices.Contains([]string{"D", "-debug", "D=true", "-debug=true", "-log-level=debug", "l=debug"}, a) ||
			(a == "-log-level" || a == "l") && i+1 < len(argv) && argv[i+1] == "debug"
	}
	return on, len(argv) > 0
}

// where says what a thread waits in.
func where(t snapshot.Task) string {
	return cmp.Or(check.Wait(t), "what it waits in could not be read")
}

// said tells how one question went.
func said(s snapshot.Said) string {
	took := s.Took.Round(time.Millisecond)
	switch {
	case s.Full:
		return fmt.Sprintf("%s: its queue of connections was full for %v", s.Question, took)
	case s.Silent:
		return fmt.Sprintf("%s: no answer within %v", s.Question, took)
	case s.Failed:
		return fmt.Sprintf("%s: hung up, or sent what is no answer, after %v", s.Question, took)
	}
	return fmt.Sprintf("%s: answered in %v", s.Question, took)
}
