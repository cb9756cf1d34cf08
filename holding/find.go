// Package holding tells who keeps a mount, a superblock or a device: pure, from
// what one look learned of all mount namespaces.
package holding

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sexton.dev/linux/mounts"
	"sexton.dev/snapshot"
)

// A Target is what was asked about, as the mount tables have it.
type Target struct {
	Word    string
	Devices []string // the superblocks that it stands on
	Mounts  []Place  // every mount of it, in every namespace
}

// A Place is one mount of one namespace.
type Place struct {
	Namespace *snapshot.MountNamespace
	Mount     *snapshot.Mount
}

var device = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]{1,7}:[0-9]{1,7}$`) })

// Find finds what a word means in the mount tables: a superblock or block device
// (8:16, 0:50, /dev/rbd0, a device mapper's name), a mount's id, the path of a
// mount, or any text, as a container's id, that is in a mount's point, root,
// source or options. Mounts of the same part of the same superblock under other
// names are it, too.
//
// It needs [snapshot.MountTables]; with none it finds nothing.
func Find(h *snapshot.Host, word string) Target { return Search(h, word).In(h) }

// Parts are what a word means: superblocks, or subtrees of theirs.
type Parts struct {
	Word  string
	roots map[string][]string // by device; none: all of it
}

// Search looks for a word in every text of the mount tables, which takes as long as all
// the rest of a question: who asks again about the same tables need not search again.
func Search(h *snapshot.Host, word string) Parts {
	p := Parts{word, map[string][]string{}}
	if h.Mounts == nil || word == "" {
		return p
	}
	if d := DeviceOf(h.Mounts, word); d != "" {
		p.roots[d] = nil
		return p
	}
	direct := matcher(word)
	for i := range h.Mounts.Namespaces {
		ns := &h.Mounts.Namespaces[i]
		for k := range ns.Mounts {
			if m := &ns.Mounts[k]; direct(m) && !slices.Contains(p.roots[m.Device], m.Root) {
				p.roots[m.Device] = append(p.roots[m.Device], m.Root)
			}
		}
	}
	return p
}

// In lists the mounts of the parts in the mount tables that they were searched for in.
func (p Parts) In(h *snapshot.Host) Target {
	t := Target{Word: p.Word, Devices: slices.Sorted(maps.Keys(p.roots))}
	if len(t.Devices) == 0 {
		return t
	}
	for i := range h.Mounts.Namespaces {
		ns := &h.Mounts.Namespaces[i]
		for k := range ns.Mounts {
			m := &ns.Mounts[k]
			roots, is := p.roots[m.Device]
			if is && (roots == nil || slices.ContainsFunc(roots, func(root string) bool { return within(m.Root, root) })) {
				t.Mounts = append(t.Mounts, Place{ns, m})
			}
		}
	}
	return t
}

// Alive reports whether a block device that a target stands on has a file system
// that is mounted somewhere, in a table or in none.
//
// Source: Documentation/ABI/testing/sysfs-fs-ext4, sysfs-fs-xfs.
func Alive(h *snapshot.Host, t Target) bool {
	return h.Mounts != nil && slices.ContainsFunc(h.Mounts.Blocks, func(b snapshot.Block) bool {
		return len(b.Alive) > 0 && slices.Contains(t.Devices, b.Device)
	})
}

// IsDevice reports whether a word is the number of a device, which needs no look
// at names.
func IsDevice(word string) bool { return device().MatchString(word) }

// DeviceOf is the number of a block device or superblock that a word names, "" if it names none.
func DeviceOf(all *snapshot.Mounts, word string) string {
	if IsDevice(word) {
		return word
	}
	name := strings.TrimPrefix(word, "/dev/")
	mapped := strings.TrimPrefix(name, "mapper/")
	for _, b := range all.Blocks {
		if b.Name == name && name != word || b.DM != "" && b.DM == mapped {
			return b.Device
		}
	}
	return ""
}

// Means returns which mounts a word means by themselves, which depends on their
// strings and device alone if it is no mount's id. Of the tables it needs the block
// devices. [Search] finds these and no others.
func Means(all *snapshot.Mounts, word string) func(*snapshot.Mount) bool {
	if d := DeviceOf(all, word); d != "" {
		return func(m *snapshot.Mount) bool { return m.Device == d }
	}
	return matcher(word)
}

// matcher says which mounts a word means by itself.
func matcher(word string) func(*snapshot.Mount) bool {
	if id, err := strconv.ParseUint(word, 10, 64); err == nil {
		return func(m *snapshot.Mount) bool { return m.ID == id || uint64(m.OldID) == id && m.OldID != 0 }
	}
	if strings.HasPrefix(word, "/") {
		return pathMatcher(path.Clean(word))
	}
	const shortest = 4 // letters: less is in every path
	if len(word) < shortest {
		return func(*snapshot.Mount) bool { return false }
	}
	start := word[:min(len(word), vector)]
	has := func(text string) bool { return strings.Contains(text, start) && strings.Contains(text, word) }
	type super struct {
		source, options string
		has             bool
	}
	last := map[string]super{} // by device: most mounts of one have the same texts
	return func(m *snapshot.Mount) bool {
		s, known := last[m.Device]
		if !known || s.source != m.Source || s.options != m.Super {
			s = super{m.Source, m.Super, has(m.Source) || has(m.Super)}
			last[m.Device] = s
		}
		return s.has || has(m.Point) || has(m.Root)
	}
}

// vector is how long a word is that Go surely looks for with vector instructions. An id
// of 64 letters is looked for without, which took a tenth of a question about one.
//
// Source: Go 1.26 internal/bytealg, MaxLen.
const vector = 32

// Linked is a path as mount tables have it where /var/run is a link to /run, as on
// all that runs containers.
func Linked(p string) string {
	if rest, ok := strings.CutPrefix(p, "/var/run/"); ok {
		return "/run/" + rest
	}
	return p
}

// pathMatcher matches a mount point; one that ends so, as a container has the
// host's; a source; and an overlay that has its layers beside a directory like this.
func pathMatcher(p string) func(*snapshot.Mount) bool {
	run := Linked(p)
	dir := ""
	if base := path.Base(p); base == "merged" || base == "rootfs" || base == "fs" {
		dir = path.Dir(p)
	}
	return func(m *snapshot.Mount) bool {
		if m.Point == p || m.Point == run || m.Source == p || p != "/" && (strings.HasSuffix(m.Point, p) || strings.HasSuffix(m.Point, run)) {
			return true
		}
		return m.Type == "overlay" && (optionIs(m, p) || dir != "" && len(dir) > 1 && optionBelow(m, dir))
	}
}

// optionIs reports whether a directory of an overlay's own is p.
func optionIs(m *snapshot.Mount, p string) bool {
	return slices.Contains(Directories(m, "upperdir", "workdir"), p)
}

func optionBelow(m *snapshot.Mount, dir string) bool {
	return slices.ContainsFunc(Directories(m, "upperdir", "workdir"), func(d string) bool { return within(d, dir) })
}

// within reports whether p is dir or below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" && strings.HasPrefix(p, "/") || strings.HasPrefix(p, dir) && len(p) > len(dir) && p[len(dir)] == '/'
}

// Directories lists the directories of an overlay that its options of these names say.
func Directories(m *snapshot.Mount, options ...string) []string {
	return mounts.Directories(m.Type, m.Super, options...)
}

// Namespaces are the inodes of the namespaces that have the target mounted.
func (t Target) Namespaces() []uint64 {
	var out []uint64
	for _, p := range t.Mounts {
		if n := len(out); n == 0 || out[n-1] != p.Namespace.Inode {
			out = append(out, p.Namespace.Inode)
		}
	}
	return out
}

// IDs are those of its mounts.
func (t Target) IDs() []uint64 {
	var out []uint64
	for _, p := range t.Mounts {
		out = append(out, p.Mount.ID)
	}
	return out
}
