package busymount

import (
	_ "embed"
	"fmt"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/propagation"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "busy-mount"

// Check reports each mount of an ended container that its owner cannot unmount.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.Names, snapshot.MountTables, snapshot.References},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	if p.Now.Mounts == nil {
		return nil
	}
	b := busy{h: p.Now, m: holding.MapOf(p.Now)}
	seen := map[string]bool{}
	var found []check.Finding
	for i := range p.Now.Mounts.Namespaces {
		ns := &p.Now.Mounts.Namespaces[i]
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			if seen[m.Device] || !b.ended(ns, m) {
				continue
			}
			seen[m.Device] = true
			if f, ok := b.judge(ns, m); ok {
				found = append(found, f)
			}
		}
	}
	return found
}

type busy struct {
	h     *snapshot.Host
	m     *holding.Map
	table *propagation.Table
	held  map[uint64]bool
}

// ended reports whether ns is the owner of a mount of a container or pod that is
// known and of which no process lives.
func (b *busy) ended(ns *snapshot.MountNamespace, m *snapshot.Mount) bool {
	shape := b.m.Shape(m)
	if shape.What == "" || shape.Container == "" && shape.PodUID == "" {
		return false
	}
	owner := false
	for _, o := range b.m.Owners(b.m.Base(m)) {
		owner = owner || o == ns
	}
	if !owner || !b.m.InUseByNone(m.Device) {
		return false
	}
	for i := range b.h.Containers {
		c := &b.h.Containers[i]
		if c.ID == shape.Container || c.PodUID != "" && c.PodUID == shape.PodUID {
			if b.lives(c.ID) || c.State == "running" || c.State == "paused" || c.State == "created" {
				return false
			}
		}
	}
	return true
}

func (b *busy) lives(id string) bool {
	for i := range b.h.Processes {
		if p := &b.h.Processes[i]; p.Container == id && p.State != snapshot.Dead {
			return true
		}
	}
	return false
}

func (b *busy) judge(ns *snapshot.MountNamespace, m *snapshot.Mount) (check.Finding, bool) {
	const ebusy = 16
	if b.table == nil {
		b.table, _ = holding.Table(b.h.Mounts)
		b.held = holding.Held(b.h)
	}
	refused := b.table.Refusal(propagation.Call{Mount: m.ID, Namespace: ns.Inode, Held: b.held})
	if refused.Errno != ebusy {
		return check.Finding{}, false
	}
	about := b.h.Mount(refused.Refused.Mount)
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%d", name, m.ID),
		Severity: check.Warning,
		Subject:  check.Subject{Kind: "mount", Name: m.Point, Path: m.Point, Device: m.Device, MountNamespace: ns.Inode, Container: b.m.Shape(m).Container},
		Harm:     "Its owner cannot unmount it: what it was for cannot be removed, a pod stays Terminating, and each try takes time",
		Evidence: []check.Evidence{{Source: fmt.Sprintf("mnt:[%d]", ns.Inode), Text: holding.Line(m)}},
	}
	if refused.Refused.Why == propagation.Submount {
		on := b.h.Mount(refused.Refused.By)
		f.Title = fmt.Sprintf("%s of a container that has ended cannot be unmounted: %s is mounted on it", m.Point, on.Point)
		f.Cause = "Something was mounted on it, in it or by propagation, and nobody unmounted that"
		f.Holders = []check.Holder{{Kind: "submount", Path: on.Point, MountNamespace: ns.Inode, MountNamespaceID: ns.ID, MountID: on.ID}}
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", ns.Inode), Text: holding.Line(on)})
		f.Remedies = []check.Remedy{{Action: "unmount-in-namespace", Risk: "disruptive", Why: "what is mounted on it goes first; look who uses it: sexton holders " + on.Point}}
		if b.m.OnlyInMemory(on) {
			f.Remedies[0].Risk = "destructive"
			f.Remedies[0].Why += "; what is in it is only in memory, and is lost with it"
		}
		return f, true
	}
	for _, h := range holding.Of(b.h, holding.Target{Word: m.Point, Mounts: []holding.Place{{Namespace: b.m.In(about), Mount: about}}}) {
		if h.Kind != "process" && h.Kind != "thread" && h.Kind != "bind" {
			f.Holders = append(f.Holders, h)
		}
	}
	who := "somebody"
	if len(f.Holders) > 0 {
		who = holding.Who(b.h, f.Holders[0]) + " (" + f.Holders[0].Kind + " " + f.Holders[0].Path + ")"
	}
	f.Title = fmt.Sprintf("%s of a container that has ended cannot be unmounted: %s uses it", m.Point, who)
	f.Cause = "Something is open on it"
	if about.ID != m.ID {
		f.Cause = fmt.Sprintf("Something is open on the copy of it in another mount namespace, mnt:[%d], which the unmount would reach", b.m.In(about).Inode)
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", b.m.In(about).Inode), Text: holding.Line(about)})
	}
	f.Remedies = []check.Remedy{{Action: "restart-holder", Risk: "disruptive", Why: "the unmount succeeds when it lets go"}}
	return f, true
}
