package plan

import (
	"fmt"
	"slices"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// unblock plans to let go of a runc that waits in a container's exec.fifo, or the end
// of an init that was left behind there.
func unblock(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		name := check.ContainerName(h, t.Container)
		s := Step{Target: t, Dumps: waiting(h, targeted(h, t))}
		switch t.Kind {
		case "fifo":
			s.Does = fmt.Sprintf("open the fifo that %s waits in for the init of container %s, for writing, and close it: runc start ends with an error", process(t), name)
			s.Command = "timeout 1 sh -c " + quote(": >"+quote(t.Path))
			s.Holds = []string{same(t), "it has not run since, and still waits in the open of this very fifo for reading", "the container's init, by its state.json, has ended or is another process"}
			s.Then = []string{"it does not wait in that fifo"}
			s.Affects = []string{"the container is not started: whoever started it is told that it failed"}
		case "init":
			s.Does = fmt.Sprintf("end %s, the init of container %s that docker does not know, and delete its task", process(t), name)
			s.Command = fmt.Sprintf("kill -KILL %d && ctr -n moby task rm %s", t.PID, quote(t.Container))
			s.Holds = []string{same(t), "it has not run since, and still waits in the open of this very fifo for writing"}
			s.Then = []string{"it is gone"}
			s.Affects = []string{"its task in containerd is deleted; nobody can start the container any more, which docker has removed"}
		default:
			continue
		}
		switch {
		case t.Inode == 0:
			s.Refused = "the fifo could not be looked at, so it cannot be told from a later one"
		case t.Switches == 0:
			s.Refused = uncounted("stays where it is")
		}
		out = append(out, s)
	}
	return out
}

func unblocked(h *snapshot.Host, s Step) (bool, string) {
	p := targeted(h, s.Target)
	switch {
	case p == nil || p.State == snapshot.Dead:
		return true, ""
	case s.Target.Kind == "init":
		return false, "it is still there"
	}
	waits := func(f snapshot.Fifo) bool {
		return f.Path == s.Target.Path && f.Reader != nil && f.Reader.PID == p.PID
	}
	if slices.ContainsFunc(h.Fifos, waits) {
		return false, "it still waits there"
	}
	return true, ""
}
