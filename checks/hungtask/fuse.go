package hungtask

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// behindFUSE names the mount and the server that a blocked process waits for.
func (j *judge) behindFUSE(f *check.Finding, p *snapshot.Process, stuck []snapshot.Task) {
	if !slices.ContainsFunc(stuck, func(t snapshot.Task) bool { return strings.HasPrefix(class(t), "a FUSE") }) {
		return
	}
	conns := j.suspects(p)
	if len(conns) == 0 {
		f.Cause = "It waits for a FUSE file system's server; which one could not be told: it sees no FUSE mount any more"
		return
	}
	var causes []string
	for _, c := range conns {
		causes = append(causes, j.connection(f, c))
	}
	f.Cause = "It waits for " + strings.Join(causes, ", or for ")
	if len(conns) == 1 {
		f.Remedies = append(f.Remedies, check.Remedy{Action: "abort-fuse", Risk: "disruptive",
			Why: "it ends every request on that file system with an error; the mount is of no use afterwards"})
	}
}

// suspects returns the FUSE connections that a process may wait for: those
// mounted where it lives, less the ones without waiting requests, and of them
// the ones whose server cannot run, if there are any.
func (j *judge) suspects(p *snapshot.Process) []snapshot.FUSEConnection {
	var all, dead []snapshot.FUSEConnection
	for _, c := range j.now.FUSE {
		if !slices.Contains(p.FUSE, c.Minor) || c.Waiting == 0 {
			continue
		}
		if len(c.Servers) == 0 {
			c.Servers = j.unplaced()
		}
		all = append(all, c)
		if slices.ContainsFunc(c.Servers, func(pid int) bool { return j.halted(pid) != "" }) {
			dead = append(dead, c)
		}
	}
	if len(dead) > 0 {
		return dead
	}
	return all
}

// unplaced returns the processes that serve a FUSE file system on a kernel that does not say which.
func (j *judge) unplaced() []int {
	for _, c := range j.now.FUSE {
		if c.Minor == 0 {
			return c.Servers
		}
	}
	return nil
}

// connection describes one connection and makes its servers the finding's holders.
func (j *judge) connection(f *check.Finding, c snapshot.FUSEConnection) string {
	at := "a file system"
	if len(c.Mounts) > 0 {
		at = c.Mounts[0]
	}
	text := fmt.Sprintf("%s at %s (connection %d)", c.Type, at, c.Minor)
	if c.Waiting > 0 {
		f.Evidence = append(f.Evidence, check.Evidence{
			Source: fmt.Sprintf("/sys/fs/fuse/connections/%d/waiting", c.Minor), Text: check.Count(c.Waiting, "request") + " without an answer"})
	}
	for _, pid := range c.Servers {
		server := j.now.Process(pid)
		if server == nil {
			continue
		}
		h := check.HolderOf(j.now, server)
		h.Path = at
		f.Holders = append(f.Holders, h)
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", pid), Text: fmt.Sprintf("%s holds /dev/fuse and is in state %s", server.Comm, server.State)})
		text += fmt.Sprintf(", served by %s", check.Label(j.now, server))
		if halted := j.halted(pid); halted != "" {
			j.named[pid] = true
			f.Severity = check.Critical
			text += ", which " + halted
			if server.State == snapshot.Stopped {
				f.Remedies = append(f.Remedies, check.Remedy{Action: "resume-process", Risk: "disruptive",
					Why: fmt.Sprintf("SIGCONT to %s lets it answer", server.Comm)})
			}
		}
	}
	if len(c.Servers) == 0 {
		text += ", whose server was not found"
	}
	return text
}

// halted says why a process cannot run, "" if it can.
func (j *judge) halted(pid int) string {
	p := j.now.Process(pid)
	switch {
	case p == nil:
		return ""
	case p.State == snapshot.Stopped:
		return "is stopped (SIGSTOP)"
	case p.State == snapshot.Uninterruptible:
		return "is itself blocked in the kernel"
	case j.now.Frozen(p) != nil:
		return "is in a frozen cgroup"
	}
	return ""
}
