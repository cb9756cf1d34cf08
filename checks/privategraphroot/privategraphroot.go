package privategraphroot

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

const name = "private-graph-root"

// Check reports each graph root that is a private mount on a shared one.
var Check = &check.Check{
	Name:  name,
	Doc:   check.DocOf(doc, name),
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Places, snapshot.MountTables},
	Run:   run,
}

// graphRoot matches where docker and containers/storage keep the layers,
// whatever their data root is.
var graphRoot = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/var/lib/docker$|/(?:docker|storage|[0-9]+\.[0-9]+)/(?:overlay2?|aufs|devicemapper|btrfs|zfs|fuse-overlayfs)$`)
})

func run(p check.Pass) []check.Finding {
	if p.Now.Mounts == nil {
		return nil
	}
	all := holding.MapOf(p.Now)
	spaces := holding.Spaces(p.Now)
	type place struct{ device, root string }
	seen := map[place]bool{}
	var found []check.Finding
	for i := range spaces {
		s := &spaces[i]
		if s.Process == nil || s.Container != "" {
			continue
		}
		for k := range s.Mounts {
			m := &s.Mounts[k]
			up := all.Parent(m)
			if m.Shared != 0 || up == nil || up.Shared == 0 || !isGraphRoot(all, s, m) || seen[place{m.Device, m.Root}] {
				continue
			}
			seen[place{m.Device, m.Root}] = true
			r := root{h: p.Now, space: s, mount: m, up: up}
			r.look(spaces)
			found = append(found, r.finding())
		}
	}
	return found
}

// isGraphRoot tells it by its name, or by a layer that is mounted right in it.
func isGraphRoot(all *holding.Map, s *holding.Space, m *snapshot.Mount) bool {
	if graphRoot().MatchString(m.Point) {
		return true
	}
	for i := range s.Mounts {
		on := &s.Mounts[i]
		if on.Parent == m.ID && on.ID != m.ID && on.Point != "/" && m.Point != "/" && all.Shape(on).What == "the root file system" {
			return true
		}
	}
	return false
}

// A root is a private graph root and what became of its layers elsewhere.
type root struct {
	h         *snapshot.Host
	space     *holding.Space
	mount, up *snapshot.Mount
	copies    int // of layers, in other namespaces
	kept      []holding.Place
	holders   []check.Holder // who has copies, one each namespace
}

// look finds copies of layers in namespaces other than the graph root's own. A
// container has its own layer as its "/", which is no copy to worry about.
func (r *root) look(spaces []holding.Space) {
	for i := range spaces {
		s := &spaces[i]
		if s.Inode == r.space.Inode {
			continue
		}
		has := false
		for k := range s.Mounts {
			m := &s.Mounts[k]
			if m.Device == r.mount.Device || !holding.Within(m.Point, r.mount.Point) && !strings.Contains(m.Point, r.mount.Point+"/") {
				continue
			}
			has = true
			r.copies++
			if !r.space.Has(m.Device) {
				r.kept = append(r.kept, holding.Place{Namespace: s.MountNamespace, Mount: m})
			}
		}
		if has {
			r.holders = append(r.holders, holding.Name(r.h, holding.Pinned(r.h, s.MountNamespace)))
		}
	}
}

const most = 5 // copies and holders that are told

func (r *root) finding() check.Finding {
	storage := strings.Contains(r.mount.Point, "/storage/")
	f := check.Finding{
		ID:       fmt.Sprintf("%s/%d", name, r.mount.ID),
		Severity: check.Info,
		Subject:  check.Subject{Kind: "mount", Name: r.mount.Point, Path: r.mount.Point, MountNamespace: r.space.Inode},
		Title:    fmt.Sprintf("%s is a private mount on %s, which is shared: no unmount in it reaches a copy", r.mount.Point, r.up.Point),
		Cause:    "Docker before 18.06 makes it so when it starts. Whoever clones the mount table gets the layers all the same, and nothing passes the private mount in the parent chain afterwards",
		Harm:     "Every unit with a mount namespace of its own and every container with the host's directories that starts from now on will keep the layers of that moment: disk space, busy devices, and no docker rm on old kernels",
		Evidence: []check.Evidence{
			{Source: r.source(), Text: holding.Line(r.mount)},
			{Source: r.source(), Text: "below it: " + holding.Line(r.up)},
		},
		Holders: r.holders[:min(len(r.holders), most)],
		Advice: []string{
			"upgrade docker to 18.06 or later, or make it shared after each start of docker and before other units: mount --make-shared " + r.mount.Point,
			"until then start units with PrivateTmp and the like before docker, and restart those that keep layers",
		},
	}
	if storage {
		f.Cause = strings.Replace(f.Cause, "Docker before 18.06 makes it so when it starts", "Podman, CRI-O and all that use containers/storage make it so", 1)
		f.Advice[0] = `skip_mount_home = "true" in the table [storage.options.overlay] of /etc/containers/storage.conf; it holds after the next boot`
		f.Advice[1] = "until then restart the units that keep layers"
	}
	if r.copies > 0 {
		f.Evidence = append(f.Evidence, check.Evidence{Source: "all mount namespaces", Text: fmt.Sprintf("%s in %s that no unmount will reach", check.Count(r.copies, "mount"), check.Count(len(r.holders), "other namespace"))})
	}
	if len(r.kept) > 0 {
		f.Severity = check.Warning
		f.Harm = fmt.Sprintf("%s unmounted here and still mounted elsewhere: the disk space and devices behind that stay in use, and docker rm fails on old kernels", check.Count(len(r.kept), "file system"))
		for _, k := range r.kept[:min(len(r.kept), most)] {
			f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("mount namespace %d", k.Namespace.Inode), Text: holding.Line(k.Mount)})
		}
	}
	return f
}

func (r *root) source() string {
	return fmt.Sprintf("mount namespace %d, that of %s", r.space.Inode, r.space.Label(r.h))
}
