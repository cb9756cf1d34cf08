package hungtask

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// behindFUSE names the mount and the server that a blocked process waits for.
func (j *judge) behindFUSE(f *check.Finding, p *snapshot.Process) {
	conns := j.suspects(p)
	switch {
	case len(p.FUSE) == 0:
		f.Cause = fuse.cause + "; which one cannot be told: no FUSE mount is to be seen where it lives (one may have been detached: umount -l)"
		return
	case len(conns) == 0:
		f.Cause = fuse.cause + "; which one cannot be told: none that is mounted where it lives has a request without an answer"
		return
	}
	var causes []string
	for _, c := range conns {
		causes = append(causes, j.connection(f, p, c))
	}
	f.Cause = "It waits for " + strings.Join(causes, ", or for ")
	if len(conns) == 1 {
		f.Remedies = append(f.Remedies, check.Remedy{Action: "abort-fuse", Risk: "disruptive",
			Why:     fmt.Sprintf("a write to /sys/fs/fuse/connections/%d/abort ends every request on that file system with an error; it is of no use afterwards and has to be mounted again", conns[0].Minor),
			Targets: []check.Target{{Kind: "fuse", Device: fmt.Sprintf("0:%d", conns[0].Minor)}}})
	}
}

// suspects returns the FUSE connections that a process may wait for: those
// mounted where it lives, less the ones without waiting requests, and of them
// the ones whose servers cannot run, if there are any.
func (j *judge) suspects(p *snapshot.Process) []snapshot.FUSEConnection {
	var all, dead []snapshot.FUSEConnection
	for _, c := range j.now.FUSE {
		if !slices.Contains(p.FUSE, c.Minor) || c.Waiting == 0 {
			continue
		}
		all = append(all, c)
		if servers, _ := j.servers(c); j.allHalted(servers) {
			dead = append(dead, c)
		}
	}
	if len(dead) > 0 {
		return dead
	}
	return all
}

// servers returns who serves a connection. Kernels before 6.16 do not say whose
// an open /dev/fuse is: then it is one of all who have one, and sure is false.
func (j *judge) servers(c snapshot.FUSEConnection) (servers []*snapshot.Process, sure bool) {
	pids, sure := c.Servers, true
	if len(pids) == 0 {
		for _, any := range j.now.FUSE {
			if any.Minor == 0 {
				pids, sure = any.Servers, false
			}
		}
	}
	for _, pid := range pids {
		if p := j.now.Process(pid); p != nil {
			servers = append(servers, p)
		}
	}
	return servers, sure
}

// allHalted reports whether none of the servers can answer.
func (j *judge) allHalted(servers []*snapshot.Process) bool {
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(p *snapshot.Process) bool { return j.halted(p) == "" })
}

// connection describes one connection and makes its servers the finding's holders.
func (j *judge) connection(f *check.Finding, blocked *snapshot.Process, c snapshot.FUSEConnection) string {
	at, kind := "a file system", "a FUSE file system"
	if len(c.Mounts) > 0 {
		at = c.Mounts[0]
	}
	if c.Type != "" {
		kind = c.Type
	}
	text := fmt.Sprintf("%s at %s (connection %d)", kind, at, c.Minor)
	if c.Waiting > 0 {
		f.Evidence = append(f.Evidence, check.Evidence{
			Source: fmt.Sprintf("/sys/fs/fuse/connections/%d/waiting", c.Minor), Text: check.Count(c.Waiting, "request") + " without an answer"})
	}
	servers, sure := j.servers(c)
	if len(servers) == 0 {
		return text + ", whose server was not found"
	}
	halted := j.allHalted(servers)
	if halted {
		f.Severity = check.Critical
	}
	var names []string
	for _, server := range servers {
		h := check.HolderOf(j.now, server)
		h.Path = at
		f.Holders = append(f.Holders, h)
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/stat", server.PID), Text: fmt.Sprintf("%s holds /dev/fuse and is in state %s", server.Comm, server.State)})
		names = append(names, j.server(f, blocked, server))
		if sure && halted && server.State == snapshot.Stopped { // else its own finding says more
			j.named[server.PID] = true
		}
	}
	switch {
	case sure:
		return text + ", served by " + strings.Join(names, " and ")
	case len(names) == 1:
		return text + ", probably served by " + names[0]
	}
	return text + ", served by one of " + strings.Join(names, "; ")
}

// server says who serves and whether it can, and offers to resume it.
func (j *judge) server(f *check.Finding, blocked, server *snapshot.Process) string {
	if server.PID == blocked.PID {
		return "itself: it waits for its own answer"
	}
	label := check.Label(j.now, server)
	if server.State == snapshot.Stopped {
		f.Remedies = append(f.Remedies, check.Remedy{Action: "resume-process", Risk: "disruptive",
			Why: fmt.Sprintf("SIGCONT to %s (pid %d) lets it answer", server.Comm, server.PID), Targets: []check.Target{check.ProcessTarget(server)}})
	}
	if g := j.now.Frozen(server); g != nil {
		f.Remedies = append(f.Remedies, check.Remedy{Action: "thaw", Risk: "disruptive",
			Why: fmt.Sprintf("with cgroup %s thawed, %s (pid %d) can answer", g.Path, server.Comm, server.PID), Targets: []check.Target{{Kind: "cgroup", Cgroup: g.Path}}})
	}
	if why := j.halted(server); why != "" {
		return label + ", which " + why
	}
	return label
}

// halted says why a process cannot run, "" if it can.
func (j *judge) halted(p *snapshot.Process) string {
	was := j.before.Same(p.ID())
	stayed := func(s snapshot.State) bool { return p.State == s && was != nil && was.State == s }
	switch {
	case j.now.Frozen(p) != nil:
		return "is in a frozen cgroup"
	case stayed(snapshot.Stopped):
		return "is stopped (SIGSTOP)"
	case stayed(snapshot.Traced):
		return "is held by a debugger"
	case stayed(snapshot.Uninterruptible) && p.Threads <= 1:
		return "is itself blocked in the kernel"
	}
	return ""
}
