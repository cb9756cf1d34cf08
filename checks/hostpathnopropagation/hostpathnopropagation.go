package hostpathnopropagation

import (
	_ "embed"
	"fmt"
	"path"
	"slices"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/settings"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "hostpath-no-propagation"

// Check reports each container with a private bind of a host directory below which mounts come and go.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables},
	Run:   run,
}

func run(p check.Pass) []check.Finding {
	spaces := holding.Spaces(p.Now)
	if len(spaces) == 0 {
		return nil
	}
	hosts := hostsOf(spaces)
	all := holding.MapOf(p.Now)
	var found []check.Finding
	for i := range spaces {
		s := &spaces[i]
		if s.Host || s.Process == nil || s.Process.Kernel || s.Root == nil {
			continue
		}
		reported := map[uint64]bool{}
		var up map[uint64]uint64
		for k := range s.Mounts {
			b := hosts.bind(s, &s.Mounts[k])
			if b == nil || all.Reaches(b.from, b.mount) || b.covered(reported, up) {
				continue
			}
			if reported[b.mount.ID] = true; up == nil {
				up = parents(s)
			}
			if b.look(p.Now.Mounts.Way == "statmount") {
				found = append(found, b.finding(p.Now))
			}
		}
	}
	return found
}

// A bind is a directory of the host that is mounted in a container.
type bind struct {
	space, host *holding.Space
	mount, from *snapshot.Mount
	path        string            // on the host
	below       []*snapshot.Mount // what the container has mounted below it
	kept        []*snapshot.Mount // of these what the host has not mounted any more
}

// hosts are the namespaces that a bind may be of: PID 1's first, then those of
// other processes that are in no container, as a host in a sandbox is.
type hosts struct {
	having map[string][]*holding.Space // by device
	layers map[*holding.Space][]string // directories in which overlays have their mount points
	known  map[part]dir                // the same one is in many containers
}

// A part is a directory of a superblock that a host has mounted.
type part struct {
	host         *holding.Space
	device, root string
}

// A dir is where a host has a part, by which mount; nil if it has not.
type dir struct {
	path string
	from *snapshot.Mount
	busy bool // mounts come and go below it
}

func (h hosts) dirOf(p part) dir {
	d, known := h.known[p]
	if !known {
		d.path, d.from = p.host.Path(p.device, p.root)
		d.busy = d.from != nil && settings.ComeAndGo(d.path, h.layers[p.host])
		h.known[p] = d
	}
	return d
}

func hostsOf(spaces []holding.Space) hosts {
	out := hosts{map[string][]*holding.Space{}, map[*holding.Space][]string{}, map[part]dir{}}
	for i := range spaces {
		s := &spaces[i]
		if s.Root == nil || !s.Host && s.Container != "" {
			continue
		}
		for k := range s.Mounts {
			d := s.Mounts[k].Device
			if all := out.having[d]; len(all) == 0 || all[len(all)-1] != s {
				out.having[d] = append(all, s)
			}
		}
		out.layers[s] = layerRoots(s)
	}
	return out
}

// bind tells whether a mount is a bind of a directory worth a look: nil if not.
func (h hosts) bind(s *holding.Space, m *snapshot.Mount) *bind {
	if m.Point == "/" {
		return nil
	}
	for _, host := range h.having[m.Device] {
		if host.Inode == s.Inode {
			continue
		}
		if host.Root.Device == s.Root.Device && s.Container == "" {
			return nil // a copy of the host's mounts, and no container
		}
		if at := h.dirOf(part{host, m.Device, m.Root}); at.from != nil {
			if !at.busy {
				return nil
			}
			return &bind{space: s, host: host, mount: m, from: at.from, path: at.path}
		}
	}
	return nil
}

// layerRoots are the directories in which the overlays of a host have their
// mount points: /data/docker/overlay2 for /data/docker/overlay2/ID/merged.
func layerRoots(host *holding.Space) []string {
	var out []string
	for i := range host.Mounts {
		if m := &host.Mounts[i]; m.Type == "overlay" && path.Base(m.Point) == "merged" {
			if root := path.Dir(path.Dir(m.Point)); !slices.Contains(out, root) {
				out = append(out, root)
			}
		}
	}
	return out
}

// covered reports whether the mount came with one that is reported already.
func (b *bind) covered(reported map[uint64]bool, up map[uint64]uint64) bool {
	id := b.mount.ID
	for range len(up) { // a torn table may have a circle
		if reported[id] {
			return true
		}
		id = up[id]
	}
	return false
}

// parents has the parent of each mount of a namespace, by their ids.
func parents(s *holding.Space) map[uint64]uint64 {
	up := make(map[uint64]uint64, len(s.Mounts))
	for i := range s.Mounts {
		up[s.Mounts[i].ID] = s.Mounts[i].Parent
	}
	return up
}

// look learns what the container keeps. It reports false for a bind that took no
// mount along though there were some: it was made without recursion.
func (b *bind) look(ordered bool) bool {
	b.below = b.space.Below(b.mount)
	for _, m := range b.below {
		if !b.host.Has(m.Device) {
			b.kept = append(b.kept, m)
		}
	}
	if len(b.below) > 0 {
		return true
	}
	return !slices.ContainsFunc(b.host.Mounts, func(m snapshot.Mount) bool {
		return m.Point != b.path && holding.Within(m.Point, b.path) && (!ordered || m.ID < b.mount.ID)
	})
}

func (b *bind) finding(h *snapshot.Host) check.Finding {
	p := b.space.Process
	subject := check.SubjectOf(h, p)
	subject.Path, subject.MountNamespace = b.mount.Point, b.space.Inode
	if p.Container != "" {
		subject.Kind = "container"
	}
	holder := check.HolderOf(h, p)
	holder.Path, holder.MountNamespace, holder.MountNamespaceID, holder.MountID = b.mount.Point, b.space.Inode, b.space.ID, b.mount.ID
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%d", name, b.mount.ID),
		Severity: check.Info,
		Subject:  subject,
		Title:    fmt.Sprintf("%s has the host's %s at %s and receives no unmount", check.Label(h, p), b.path, b.mount.Point),
		Cause:    settings.Unreceived,
		Harm:     settings.Keeps,
		Holders:  []check.Holder{holder},
		Advice:   b.advice(h),
		Since:    h.Started(p),
	}
	source := fmt.Sprintf("mount namespace %d of pid %d", b.space.Inode, p.PID)
	f.Evidence = append(f.Evidence,
		check.Evidence{Source: source, Text: holding.Line(b.mount)},
		check.Evidence{Source: fmt.Sprintf("mount namespace %d of the host", b.host.Inode), Text: holding.Line(b.from)})
	if n := len(b.below); n > 0 {
		f.Evidence = append(f.Evidence, check.Evidence{Source: source, Text: check.Count(n, "mount") + " below it, copied from the host"})
	}
	if len(b.kept) > 0 {
		f.Severity = check.Warning
		f.Harm = fmt.Sprintf("It keeps %s that the host has unmounted, until the container ends: devices stay busy, disk space stays in use", check.Count(len(b.kept), "file system"))
		for _, m := range b.kept[:min(len(b.kept), 3)] {
			f.Evidence = append(f.Evidence, check.Evidence{Source: source, Text: "kept: " + holding.Line(m)})
		}
	}
	return f
}

// advice says what to write, and where.
func (b *bind) advice(h *snapshot.Host) []string {
	var out []string
	c := h.Container(b.space.Container)
	switch {
	case c != nil && (c.Pod != "" || c.PodUID != ""):
		out = append(out, "in the pod's spec: "+settings.Propagate(settings.Kubernetes, b.path, b.mount.Point))
	case c != nil && (c.Runtime == "docker" || c.Runtime == "podman"):
		out = append(out, c.Runtime+" "+settings.Propagate(settings.Image, b.path, b.mount.Point))
	case c != nil:
		out = append(out, fmt.Sprintf("mount %s with the option rslave; in a pod's spec: mountPropagation: HostToContainer", b.mount.Point))
	default:
		out = append(out, fmt.Sprintf("mount --make-rslave %s, right after the bind", b.mount.Point))
	}
	if b.from.Shared == 0 {
		out = append(out, fmt.Sprintf("the host's %s is private, too, so rslave alone changes nothing: mount --make-rshared %s on the host, before the container starts", b.from.Point, b.from.Point))
	}
	return append(out, "then start the container anew: that also frees what it keeps now")
}
