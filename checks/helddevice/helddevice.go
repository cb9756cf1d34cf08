package helddevice

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "held-device"

// Check reports each block device whose file system lives on without its owner.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables, snapshot.References},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	all := p.Now.Mounts
	if all == nil {
		return nil
	}
	m := holding.MapOf(p.Now)
	var found []check.Finding
	for _, b := range all.Blocks {
		if len(b.Alive) == 0 || m.Owned(b.Device) {
			continue
		}
		f := finding(p.Now, m, b)
		if len(f.Holders) == 0 && all.Blind != "" {
			continue // its owner may be where this way of reading sees nothing
		}
		if slices.ContainsFunc(f.Holders, func(k check.Holder) bool { return k.PID != 0 && p.Now.MountNamespaceOf(k.PID) == nil }) {
			continue // where that process lives was not read: it may be mounted there, and have its owner there
		}
		found = append(found, f)
	}
	return found
}

func finding(h *snapshot.Host, m *holding.Map, b snapshot.Block) check.Finding {
	t := m.OnDevice(b.Device)
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%s", name, b.Name),
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "device", Name: "/dev/" + b.Name, Device: b.Device},
		Holders:  holding.Of(h, t),
		Harm:     "It cannot be detached, unmapped, formatted or removed; what is not written yet is lost if it is detached all the same",
		Evidence: []check.Evidence{{Source: "/sys/fs/" + b.Alive[0] + "/" + b.Name, Text: "exists: its file system is alive"}},
	}
	if b.Backing != "" {
		f.Evidence = append(f.Evidence, check.Evidence{Source: "/sys/class/block/" + b.Name + "/loop/backing_file", Text: b.Backing})
	}
	if len(b.Holders) > 0 {
		f.Evidence = append(f.Evidence, check.Evidence{Source: "/sys/class/block/" + b.Name + "/holders", Text: strings.Join(b.Holders, " ")})
	}
	who := "nobody can be named who keeps it"
	if len(f.Holders) > 0 {
		who = holding.Who(h, f.Holders[0]) + " keeps it"
	}
	f.Title = fmt.Sprintf("/dev/%s (%s) is in use, but its owner does not mount it: %s", b.Name, b.Device, who)
	if len(t.Mounts) == 0 {
		f.Cause = "It is mounted in no namespace; what was open on it when it was unmounted with -l, or when its mount point was removed, keeps it alive"
		f.Remedies = []check.Remedy{{Action: "restart-holder", Risk: "disruptive", Why: "nobody can unmount a detached tree"}}
		return f
	}
	n := len(t.Namespaces())
	f.Cause = fmt.Sprintf("Its owner has unmounted it, and %s still %s it", check.Count(n, "other mount namespace"), map[bool]string{true: "has", false: "have"}[n == 1])
	for _, p := range t.Mounts[:min(3, len(t.Mounts))] {
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", p.Namespace.Inode), Text: holding.Line(p.Mount)})
	}
	f.Remedies = []check.Remedy{{Action: "unmount-in-namespace", Risk: "safe", Why: "its owner has unmounted it"}}
	return f
}
