package mountflagsliverestore

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/settings"
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
	if unit == nil {
		unit = &snapshot.UnitSettings{Name: d.Unit}
	}
	apart, c := apartFromHost(h, d.PID), strandedBy(h, d.PID)
	if len(unit.Directives) == 0 && apart == nil && len(c.stranded) == 0 {
		return nil
	}
	f := check.Finding{
		ID:       name + "/" + orDaemon(unit.Name),
		Severity: check.Info,
		Subject:  check.Subject{Kind: "unit", Name: orDaemon(unit.Name), PID: d.PID},
	}
	why, evidence := holding.Told(unit)
	f.Evidence = evidence
	for _, said := range d.Said {
		if strings.Contains(said, "live-restore") {
			f.Evidence = append(f.Evidence, check.Evidence{Source: "dockerd's settings", Text: said})
		}
	}
	what := orDaemon(unit.Name) + " has live-restore"
	switch {
	case len(why) > 0:
		what += " and " + strings.Join(why, ", ")
		f.Cause = settings.Strands(d.LiveRestore, why)
	case apart != nil:
		what += " and a mount namespace of its own"
		f.Cause = "live-restore keeps the containers over a restart, and the daemon's mount namespace, which is not the host's, ends with it"
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/ns/mnt", d.PID), Text: fmt.Sprintf("mnt:[%d]", apart.Inode)})
	default:
		f.Cause = "live-restore kept the containers over a restart, and the daemon of before had a mount namespace of its own"
	}
	judge(h, &f, c, what)
	if len(why) == 0 && apart == nil {
		f.Advice = f.Advice[1:] // the next restart strands nobody
	}
	return []check.Finding{f}
}

func orDaemon(unit string) string {
	if unit == "" {
		return "dockerd"
	}
	return unit
}

// apartFromHost is the daemon's mount namespace if it is one of its own that ends
// with its processes; nil if it is the host's, kept by a bound file, or not known.
func apartFromHost(h *snapshot.Host, daemon int) *snapshot.MountNamespace {
	own := h.MountNamespaceOf(daemon)
	if own == nil || h.MountNamespaceOf(1) == nil {
		return nil
	}
	if slices.ContainsFunc(own.Pins, func(p snapshot.Pin) bool { return p.Kind == "bind" || p.Kind == "process" && p.PID == 1 }) {
		return nil
	}
	return own
}

// containers are the running ones, by what has become of their layers.
type containers struct {
	all              []string
	kept, lost, blur []string       // kept with the shim alone, lost, and not known for a shim that is apart
	holders          []check.Holder // all shims
	stranded         []check.Holder // shims of kept, lost and blur
}

func strandedBy(h *snapshot.Host, pid int) (c containers) {
	daemon := h.Process(pid)
	own := h.MountNamespaceOf(pid)
	for i := range h.Processes {
		s := &h.Processes[i]
		if !holding.IsShim(s) || !holding.OfDocker(s) { // a kubelet's have another daemon
			continue
		}
		label, holder := holding.Shim(h, s)
		c.all, c.holders = append(c.all, label), append(c.holders, holder)
		if daemon == nil || own == nil || holder.MountNamespace == 0 || holder.MountNamespace == own.Inode {
			continue
		}
		switch holding.StrandOf(h, daemon, s) {
		case holding.Reached:
			continue
		case holding.Kept:
			c.kept = append(c.kept, label)
		case holding.Lost:
			c.lost = append(c.lost, label)
		default:
			c.blur = append(c.blur, label)
		}
		c.stranded = append(c.stranded, holder)
	}
	return c
}

// judge says whose containers are stranded, or would be, and what that costs them.
func judge(h *snapshot.Host, f *check.Finding, c containers, what string) {
	yes, known := holding.DetachesRemoved(h)
	busy := known && !yes
	stuck := settings.StrandedExec
	if busy {
		stuck = settings.StrandedBusy
	}
	f.Advice = []string{settings.BeforeRestart}
	if len(c.stranded) == 0 {
		f.Holders = c.holders
		f.Title = fmt.Sprintf("%s: a restart would strand %s%s", what, check.Count(len(c.all), "running container"), listed(c.all))
		f.Harm = "After the next restart of the daemon it cannot reach the layers of these containers: " + stuck
		return
	}
	f.Severity = check.Warning
	f.Holders = c.stranded
	names := slices.Concat(c.kept, c.lost, c.blur)
	f.Title = fmt.Sprintf("%s, and was restarted: it cannot reach the layers of %s%s", what, check.Count(len(names), "running container"), listed(names))
	var harm []string
	if len(c.kept) > 0 && busy {
		harm = append(harm, "Removal fails now, device or resource busy"+listed(c.kept))
		f.Advice = append(f.Advice, "sexton holders CONTAINER names the namespace that has the layer: unmounted there, the removal works")
	} else if len(c.kept) > 0 {
		harm = append(harm, "Mounted in the shims' namespace alone, which this kernel takes off with the directory"+listed(c.kept))
	}
	if len(c.lost) > 0 {
		harm = append(harm, "Mounted for the container alone: docker exec fails, and health checks by it"+listed(c.lost))
		f.Advice = append(f.Advice, "docker stop and docker start, not docker restart, give a container its layer back")
	}
	if len(c.blur) > 0 {
		harm = append(harm, "Cannot tell, its mounts were not read"+listed(c.blur))
	}
	f.Harm = strings.Join(harm, ". ")
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
