package namespacesplit

import (
	_ "embed"
	"fmt"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "namespace-split"

// Check reports each daemon whose containers' shims are in another mount namespace.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Commands, snapshot.MountTables},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	h := p.Now
	if h.Mounts == nil {
		return nil
	}
	var found []check.Finding
	for i := range h.Processes {
		d := &h.Processes[i]
		if d.Container != "" || d.Comm != "dockerd" && d.Comm != "containerd" || childOfDaemon(h, d) {
			continue
		}
		own := h.MountNamespaceOf(d.PID)
		if own == nil {
			continue
		}
		var apart []*snapshot.Process
		for k := range h.Processes {
			s := &h.Processes[k]
			ns := h.MountNamespaceOf(s.PID)
			if holding.IsShim(s) && serves(h, d, s) && ns != nil && ns.Inode != own.Inode && holding.StrandOf(h, d, s) != holding.Reached {
				apart = append(apart, s)
			}
		}
		if len(apart) > 0 {
			found = append(found, finding(h, d, own, apart))
		}
	}
	return found
}

// childOfDaemon reports whether a containerd is the one that a dockerd started.
func childOfDaemon(h *snapshot.Host, p *snapshot.Process) bool {
	parent := h.Process(p.PPID)
	return parent != nil && parent != p && (parent.Comm == "dockerd" || parent.Comm == "containerd")
}

// serves reports whether a shim belongs to a daemon: it is below it, or was left
// to the first process by one of its kind, and there is no other daemon.
func serves(h *snapshot.Host, daemon, shim *snapshot.Process) bool {
	const deepest = 10
	for p, n := shim, 0; p != nil && n < deepest; p, n = h.Process(p.PPID), n+1 {
		if p == daemon {
			return true
		}
	}
	daemons := 0
	for i := range h.Processes {
		p := &h.Processes[i]
		if p.Container == "" && (p.Comm == "dockerd" || p.Comm == "containerd") && !childOfDaemon(h, p) {
			daemons++
		}
	}
	return daemons == 1
}

func finding(h *snapshot.Host, d *snapshot.Process, own *snapshot.MountNamespace, apart []*snapshot.Process) check.Finding {
	f := check.Finding{
		ID:       check.Identity(name, d.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(h, d),
		Cause:    fmt.Sprintf("The shims were started when the daemon was in another mount namespace than mnt:[%d], where it is now", own.Inode),
		Harm:     "The daemon cannot unmount what these containers have mounted: their removal fails or leaves layers and devices in use until they end, or docker exec fails in them",
		Advice:   []string{"stop these containers before they are removed; take MountFlags, PrivateTmp, ProtectSystem, ProtectHome and ReadWritePaths off the daemon's unit"},
	}
	f.Subject.Kind = "runtime"
	var names []string
	for _, s := range apart {
		label, holder := holding.Shim(h, s)
		f.Holders = append(f.Holders, holder)
		names = append(names, label)
		const most = 5
		if len(f.Evidence) < most {
			f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/ns/mnt", s.PID), Text: fmt.Sprintf("mnt:[%d]; %s of container %s", holder.MountNamespace, s.Comm, label)})
		}
	}
	f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/ns/mnt", d.PID), Text: fmt.Sprintf("mnt:[%d]; %s", own.Inode, d.Comm)})
	f.Title = fmt.Sprintf("%s (pid %d) is in another mount namespace than the shims of %s: %s", d.Comm, d.PID, check.Count(len(apart), "container"), strings.Join(names[:min(5, len(names))], ", "))
	return f
}
