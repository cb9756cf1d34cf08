package plan

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// Acts through a runtime or systemd, and on a FUSE file system.

// restart plans to restart what holds: a container by its runtime, else a unit.
func restart(h *snapshot.Host, f check.Finding, _ check.Remedy) (out []Step) {
	seen := map[string]bool{}
	for _, holder := range f.Holders {
		p := h.Process(holder.PID)
		if p == nil || seen[holder.Container+"\x00"+holder.Unit] {
			continue
		}
		seen[holder.Container+"\x00"+holder.Unit] = true
		s := Step{Then: []string{"none of its processes of now is left"}, Affects: []string{"what runs in it is stopped, and started anew"}}
		switch c := h.Container(holder.Container); {
		case c != nil && c.Init != 0 && h.Process(c.Init) != nil:
			first := h.Process(c.Init)
			s.Target = containerTarget(h, c)
			s.Target.PID, s.Target.Start, s.Target.Comm = first.PID, first.Start, first.Comm
			s.Does = fmt.Sprintf("restart container %s, which holds it", check.ContainerName(h, c.ID))
			s.Command = byHand(c, "restart")
			s.Holds = []string{"it is the same run of the same container: its first process is " + process(s.Target)}
		case holder.Unit != "":
			s.Target = check.Target{Kind: "unit", Unit: holder.Unit, PID: p.PID, Start: p.Start, Comm: p.Comm}
			s.Does = fmt.Sprintf("restart %s, which holds it", holder.Unit)
			s.Command = "systemctl restart " + quote(holder.Unit)
			s.Holds = []string{"it is the same run of the unit: its main process is " + process(s.Target)}
			s.Refused = essential(holder.Unit)
			if s.Refused == "" && p.Comm == "dockerd" && !outlived(h) {
				s.Refused = "no live-restore is known of: with dockerd all its containers would stop; drain the host, then restart it by hand"
			}
		default:
			s.Target = check.ProcessTarget(p)
			s.Does = fmt.Sprintf("end %s, which holds it", process(s.Target))
			s.Command = fmt.Sprintf("kill %d", p.PID)
			s.Refused = "it is in no container and no unit: who ends it must know how it is started again"
			s.Affects = nil
		}
		out = append(out, s)
	}
	return out
}

// outlived reports whether docker's containers go on while dockerd is restarted.
func outlived(h *snapshot.Host) bool {
	return h.Settings != nil && h.Settings.Docker != nil && h.Settings.Docker.LiveRestore
}

func containerTarget(h *snapshot.Host, c *snapshot.Container) check.Target {
	t := check.Target{Kind: "container", Runtime: c.Runtime, Container: c.ID}
	for _, r := range h.Runtimes {
		if r.Kind == c.Runtime && r.Err == "" {
			t.Socket = r.Socket
		}
	}
	return t
}

func byHand(c *snapshot.Container, verb string) string {
	switch c.Runtime {
	case "docker", "podman":
		return c.Runtime + " " + verb + " " + c.ID
	}
	return ""
}

func restarted(h *snapshot.Host, s Step) (bool, string) {
	p := targeted(h, s.Target)
	return p == nil, process(s.Target) + " still runs"
}

// remove plans the end of a removal that somebody asked for and that failed.
func remove(h *snapshot.Host, f check.Finding, _ check.Remedy) []Step {
	c := h.Container(f.Subject.Container)
	if c == nil {
		return nil
	}
	return []Step{{
		Does:    fmt.Sprintf("ask %s to remove container %s again, whose removal failed before", c.Runtime, check.ContainerName(h, c.ID)),
		Command: byHand(c, "rm"),
		Target:  containerTarget(h, c),
		Holds:   []string{"its state is Dead or RemovalInProgress", "it is asked for by its full id"},
		Then:    []string{"the runtime does not know it any more"},
		Affects: []string{"its writable layer is deleted, as was asked for; its volumes stay"},
	}}
}

func removed(h *snapshot.Host, s Step) (bool, string) {
	answered := func(r snapshot.Runtime) bool {
		return r.Kind == s.Target.Runtime && r.Socket == s.Target.Socket && r.Err == ""
	}
	if !slices.ContainsFunc(h.Runtimes, answered) {
		return false, s.Target.Runtime + " does not say what it lists"
	}
	return !slices.ContainsFunc(h.Containers, func(c snapshot.Container) bool { return c.ID == s.Target.Container && c.State != "" }), "the runtime still lists it"
}

func abort(h *snapshot.Host, f check.Finding, r check.Remedy) (out []Step) {
	for _, t := range r.Targets {
		minor := strings.TrimPrefix(t.Device, "0:")
		t = tellFUSE(h, t, f.Subject.PID)
		s := Step{
			Does:    fmt.Sprintf("abort the FUSE file system %s: every request that waits ends with an error", t.Device),
			Command: "echo 1 > /sys/fs/fuse/connections/" + minor + "/abort",
			Target:  t,
			Holds:   []string{"it has requests that wait", "it is the same superblock"},
			Then:    []string{"no request waits"},
			Affects: []string{"the file system is of no use afterwards and has to be mounted again; what was not written yet is lost"},
		}
		if t.Mount == 0 && t.TID == 0 {
			s.Refused = "its number may be another file system's by then, and no mount and no thread is known by which to tell: abort it by hand"
		}
		out = append(out, s)
	}
	return out
}

// tellFUSE adds to a connection what tells its number from a later one's: a mount
// whose id is never used again; else a thread that waits for it, which keeps the file
// system as long as it does not run.
func tellFUSE(h *snapshot.Host, t check.Target, pid int) check.Target {
	if h.Mounts != nil && h.Mounts.Way == "statmount" {
		for p := range holding.MapOf(h).Places(t.Device) {
			if p.Namespace.ID != 0 {
				t.Mount, t.MountNamespace, t.MountNamespaceID = p.Mount.ID, p.Namespace.Inode, p.Namespace.ID
				return t
			}
		}
	}
	p := h.Process(pid)
	if p == nil || !slices.ContainsFunc(p.FUSE, func(minor int) bool { return fmt.Sprintf("0:%d", minor) == t.Device }) {
		return t
	}
	if i := slices.IndexFunc(p.Tasks, func(k snapshot.Task) bool { return k.InFUSE() && k.Switches != 0 }); i >= 0 {
		t.PID, t.Start, t.Comm, t.TID, t.Switches = p.PID, p.Start, p.Comm, p.Tasks[i].TID, p.Tasks[i].Switches
	}
	return t
}

func aborted(h *snapshot.Host, s Step) (bool, string) {
	for _, c := range h.FUSE {
		switch {
		case fmt.Sprintf("0:%d", c.Minor) != s.Target.Device:
		case c.Waiting < 0:
			return false, "how many of its requests wait cannot be read"
		case c.Waiting > 0:
			return false, check.Count(c.Waiting, "request") + " still without an answer"
		}
	}
	return true, ""
}
