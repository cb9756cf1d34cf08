package holding

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sexton.dev/linux/mounts"
	"sexton.dev/snapshot"
)

// usual are the directories in which runtimes keep a layer each by its id.
var usual = []string{"/var/lib/docker/overlay2", "/var/lib/containers/storage/overlay", "/var/lib/docker/fuse-overlayfs"}

var layerID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[0-9a-f]{64}`) })

// A Layer is a directory that may hold the upper layer of an overlay, as a
// process sees it.
type Layer struct {
	PID int    // whose root directory Dir is below; 0: the looker's own
	Dir string // absolute
}

// Layers are the directories that hold the upper layer of an overlay that a word
// names: beside a path of it, or below the places where other overlays of this
// host have theirs, as a process of their namespace sees them. By the files in
// them a detached overlay is recognized, which no mount table has.
func Layers(h *snapshot.Host, word string) []Layer {
	if h.Mounts == nil {
		return nil
	}
	var out []Layer
	add := func(pid int, dir string) {
		for _, upper := range []string{"diff", "upper"} {
			if l := (Layer{pid, path.Join(dir, upper)}); !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	if strings.HasPrefix(word, "/") {
		if dir := besideLayers(word); dir != "" {
			add(0, dir)
			add(seer(h.Mounts, dir), dir)
		}
		return out
	}
	id := layerID().FindString(word)
	if id == "" {
		return nil
	}
	for _, root := range usual {
		add(0, path.Join(root, id))
	}
	for root, pid := range graphRoots(h.Mounts) {
		add(pid, path.Join(root, id))
	}
	return out
}

// besideLayers is the directory in which an overlay has its layers beside its mount
// point, "" if a path is not as runtimes name that.
func besideLayers(word string) string {
	if word = path.Clean(word); path.Base(word) == "merged" {
		return path.Dir(word)
	}
	return ""
}

// Near returns which mounts [Layers] needs of those that a word does not mean, but for overlays.
func Near(word string) func(*snapshot.Mount) bool {
	dir := ""
	if strings.HasPrefix(word, "/") {
		dir = besideLayers(word)
	}
	return func(m *snapshot.Mount) bool { return dir != "" && m.Point != "" && within(dir, m.Point) }
}

// seer is a process of the namespace that has the nearest mount above a directory.
func seer(all *snapshot.Mounts, dir string) int {
	pid, longest := 0, 0
	for i := range all.Namespaces {
		ns := &all.Namespaces[i]
		for k := range ns.Mounts {
			if m := &ns.Mounts[k]; len(m.Point) > longest && within(dir, m.Point) {
				if p := firstProcess(ns); p != 0 {
					pid, longest = p, len(m.Point)
				}
			}
		}
	}
	return pid
}

// firstProcess is the process with the lowest number in a namespace, 0 if it has none.
func firstProcess(ns *snapshot.MountNamespace) int {
	least := 0
	for _, p := range ns.Pins {
		if p.Kind == "process" && (least == 0 || p.PID < least) {
			least = p.PID
		}
	}
	return least
}

// graphRoots are the directories in which the mounted overlays have their layers,
// each with a process that sees it.
func graphRoots(all *snapshot.Mounts) map[string]int {
	const most = 64
	out := map[string]int{}
	root := map[string]string{} // by superblock
	for i := range all.Namespaces {
		ns := &all.Namespaces[i]
		pid := firstProcess(ns)
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			if m.Type != "overlay" || pid == 0 {
				continue
			}
			dir, known := root[m.Device]
			if !known {
				dir = mounts.LayerRoot(m.Type, m.Super)
				root[m.Device] = dir
			}
			if was, known := out[dir]; dir != "" && (known && pid < was || !known && len(out) < most) {
				out[dir] = pid
			}
		}
	}
	return out
}
