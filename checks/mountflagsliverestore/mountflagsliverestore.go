package mountflagsliverestore

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

const name = "mountflags-live-restore"

// Check reports a dockerd that keeps containers over a restart but not their mounts.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Commands, snapshot.MountTables, snapshot.Configured},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	h := p.Now
	if h.Settings == nil || h.Settings.Docker == nil || !h.Settings.Docker.LiveRestore {
		return nil
	}
	d := h.Settings.Docker
	unit := h.Settings.Unit(d.Unit)
	if unit == nil || len(unit.Directives) == 0 {
		return nil
	}
	f := check.Finding{
		ID:       name + "/" + unit.Name,
		Severity: check.Info,
		Subject:  check.Subject{Kind: "unit", Name: unit.Name, PID: d.PID},
		Harm:     "After the next restart of the daemon the removal of these containers fails: device or resource busy",
		Advice: []string{"stop the containers, take the directive out with a drop-in, then systemctl daemon-reload and restart; or turn live-restore off",
			"where a restart was made already: sexton holders CONTAINER names the namespace that has the layers; they can be unmounted there"},
	}
	why, evidence := holding.Told(unit)
	f.Evidence = evidence
	for _, said := range d.Said {
		if strings.Contains(said, "live-restore") {
			f.Evidence = append(f.Evidence, check.Evidence{Source: "dockerd's settings", Text: said})
		}
	}
	f.Cause = fmt.Sprintf("live-restore keeps the containers over a restart, and %s gives the daemon another mount namespace at each start", strings.Join(why, ", "))
	names, apart := shims(h, d.PID, &f)
	f.Title = fmt.Sprintf("%s has live-restore and %s: the removal of %s would fail after a restart%s", unit.Name, strings.Join(why, ", "), check.Count(len(names), "running container"), listed(names))
	if apart > 0 {
		f.Severity = check.Warning
		f.Harm = fmt.Sprintf("The daemon was restarted: %s cannot be removed now, and after the next restart none of these can", check.Count(apart, "container"))
	}
	return []check.Finding{f}
}

func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	const most = 8
	text := ": " + strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// shims names the containers that run, and counts those whose shim is in another
// mount namespace than the daemon already.
func shims(h *snapshot.Host, daemon int, f *check.Finding) (names []string, apart int) {
	own := h.MountNamespaceOf(daemon)
	for i := range h.Processes {
		s := &h.Processes[i]
		if !holding.IsShim(s) {
			continue
		}
		label, holder := holding.Shim(h, s)
		names = append(names, label)
		if own != nil && holder.MountNamespace != 0 && holder.MountNamespace != own.Inode {
			apart++
		}
		f.Holders = append(f.Holders, holder)
	}
	return names, apart
}
