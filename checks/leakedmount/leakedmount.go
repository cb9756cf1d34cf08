package leakedmount

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

const name = "leaked-mount"

// Check reports each superblock of container software that only others than its owner have mounted.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	if p.Now.Mounts == nil {
		return nil
	}
	l := leaks{h: p.Now, m: holding.MapOf(p.Now), seen: map[string]bool{}}
	for i := range p.Now.Mounts.Namespaces {
		ns := &p.Now.Mounts.Namespaces[i]
		for k := range ns.Mounts {
			if m := &ns.Mounts[k]; !l.seen[m.Device] {
				l.judge(ns, m)
			}
		}
	}
	return append(l.found, l.later()...)
}

type leaks struct {
	h     *snapshot.Host
	m     *holding.Map
	seen  map[string]bool // superblocks that were judged
	found []check.Finding
}

// judge looks at the first mount of a superblock that has a place of container software.
// One that a container works in, as its root, has not outlived it: nothing is to be freed.
func (l *leaks) judge(ns *snapshot.MountNamespace, m *snapshot.Mount) {
	shape := l.m.Shape(m)
	if shape.What == "" {
		return
	}
	owner, known := l.m.Owner(m)
	if !known {
		return // another copy may tell
	}
	l.seen[m.Device] = true
	if owner == nil && l.m.InUseByNone(m.Device) {
		l.found = append(l.found, l.finding(ns, m, shape, l.m.Owners(l.m.Base(m))))
	}
}

func (l *leaks) finding(ns *snapshot.MountNamespace, m *snapshot.Mount, shape holding.Shape, owners []*snapshot.MountNamespace) check.Finding {
	t := l.m.OnDevice(m.Device)
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%d", name, m.ID),
		Severity: check.Warning,
		Subject:  l.subject(ns, m, shape),
		Holders:  mountHolders(holding.Of(l.h, t)),
	}
	f.Title = fmt.Sprintf("%s of %s is unmounted by its owner and still mounted by %s", shape.What, l.label(m, shape), holding.WhoAll(l.h, f.Holders))
	f.Cause = l.cause(ns, m, owners)
	f.Harm = l.harm(m)
	for i, p := range t.Mounts {
		const most = 5
		if i == most {
			f.Evidence = append(f.Evidence, check.Evidence{Source: "mount tables", Text: fmt.Sprintf("and %d mounts of %s more", len(t.Mounts)-most, m.Device)})
			break
		}
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", p.Namespace.Inode), Text: holding.Line(p.Mount)})
	}
	f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mnt:[%d]", owners[0].Inode), Text: fmt.Sprintf("the owner's namespace (%s): %s is not mounted", l.resident(owners[0]), m.Device)})
	f.Remedies, f.Advice = remedies(t.Mounts, f.Holders)
	if l.m.OnlyInMemory(m) {
		f.Harm += "; what is in it is in memory and nowhere else"
		for i := range f.Remedies {
			f.Remedies[i].Risk = "destructive"
			f.Remedies[i].Why += "; with its last mount what is in it is lost, and whose that was cannot be told"
		}
	}
	return f
}

func (l *leaks) subject(ns *snapshot.MountNamespace, m *snapshot.Mount, shape holding.Shape) check.Subject {
	s := check.Subject{Kind: "mount", Name: m.Point, Path: m.Point, Device: m.Device, MountNamespace: ns.Inode, Container: shape.Container}
	if c := l.h.Container(shape.Container); c != nil {
		s.Pod = c.Pod
	}
	for i := range l.h.Containers {
		c := &l.h.Containers[i]
		if shape.PodUID != "" && c.PodUID == shape.PodUID {
			s.Pod = c.Pod
		}
		if shape.Container != "" && c.RootFS != "" && strings.Contains(c.RootFS, shape.Container) {
			s.Container, s.Pod = c.ID, c.Pod // an overlay's directory has an id of its own
		}
	}
	return s
}

// label names what the mount was for: a container and its image, a pod, or the place.
func (l *leaks) label(m *snapshot.Mount, shape holding.Shape) string {
	s := l.subject(&snapshot.MountNamespace{}, m, shape)
	if c := l.h.Container(s.Container); c != nil {
		text := "container " + check.ContainerName(l.h, c.ID)
		if c.Image != "" {
			text += ", image " + c.Image
		}
		return text
	}
	switch {
	case s.Pod != "":
		return "pod " + s.Pod
	case shape.PodUID != "":
		return "pod UID " + shape.PodUID
	case shape.Container != "":
		return "container or layer " + shape.Container[:12]
	case strings.HasPrefix(m.Source, "/dev/"):
		return m.Source
	}
	return m.Point
}

// resident is the process that a namespace is known by.
func (l *leaks) resident(ns *snapshot.MountNamespace) string {
	h := holding.Pinned(l.h, ns)
	if p := l.h.Process(h.PID); p != nil {
		return check.Label(l.h, p)
	}
	return "without a process"
}

// cause tells why the owner's unmount did not reach the copy.
func (l *leaks) cause(ns *snapshot.MountNamespace, m *snapshot.Mount, owners []*snapshot.MountNamespace) string {
	b, ok := l.m.FindBreak(m, owners[0])
	switch {
	case ok && b.Ours:
		return fmt.Sprintf("In the owner's namespace (%s) %s is private: an unmount on it is told to nobody, so the copy that this namespace got when it was made stays. Its tags (%s) do not matter",
			l.resident(owners[0]), b.Point, holding.Tags(m))
	case ok && b.Owner == "":
		return fmt.Sprintf("It is mounted at another place than in the owner's namespace, below %s, which is %s: no unmount of the owner's is told to it", b.Point, b.Here)
	case ok:
		return fmt.Sprintf("In this namespace %s is %s and receives nothing from the owner's (%s, %s), so the unmount there did not reach the copy here",
			b.Point, b.Here, l.resident(owners[0]), b.Owner)
	}
	return "The owner's unmount did not reach it: when it was made the two namespaces were linked in another way than now, or something was mounted on the copy"
}

func (l *leaks) harm(m *snapshot.Mount) string {
	if !strings.HasPrefix(m.Device, "0:") {
		return fmt.Sprintf("Device %s (%s) stays in use: it cannot be detached, formatted, removed or mapped again, and what is not written yet is lost if it is detached all the same", m.Device, m.Source)
	}
	return "Its superblock lives on: the space of what was deleted below it is not freed, a removal of its layers or mount point may fail with EBUSY, and its pod may stay Terminating"
}

// remedies are what could free it: in each namespace that has it, from its owner's
// where that may be out of reach, or by its holder's end.
func remedies(copies []holding.Place, holders []check.Holder) ([]check.Remedy, []string) {
	out := []check.Remedy{{Action: "unmount-in-namespace", Risk: "safe", Why: "its owner has unmounted it; nobody works in the copies but those named here"}}
	if slices.ContainsFunc(copies, func(p holding.Place) bool { return holding.Barred(p.Namespace) }) {
		out = append(out, check.Remedy{Action: "remove-mountpoint", Risk: "safe", Why: "a copy may be locked or out of reach where it is; it ends with its mount point"})
	}
	if slices.ContainsFunc(holders, func(h check.Holder) bool { return h.Kind == "process" || h.Kind == "thread" }) {
		out = append(out, check.Remedy{Action: "restart-holder", Risk: "disruptive", Why: "the copy ends with its namespace"})
	}
	return out, []string{"so that it does not come back, keep the namespace's mounts slaves of the host's: rslave for a bind, HostToContainer for a hostPath; and no private mount above the place"}
}

// mountHolders are those who keep a mounted copy; there is one at least.
func mountHolders(all []check.Holder) []check.Holder {
	return slices.DeleteFunc(all, func(h check.Holder) bool {
		return h.MountNamespace == 0 || !slices.Contains([]string{"process", "thread", "bind", "fd", "socket", "unknown"}, h.Kind)
	})
}
