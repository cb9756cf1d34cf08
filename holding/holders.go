package holding

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// Of lists who keeps a target, each once: a namespace that has it mounted, by
// what keeps that; what is mounted on it or stands on it; and what processes hold
// of it, mounted or detached.
//
// References are listed if the look had [snapshot.References].
func Of(h *snapshot.Host, t Target) []check.Holder {
	k := newKeeper(h, t)
	k.namespaces()
	k.submounts()
	return k.users()
}

// users adds who stands on the target or refers to it, and lists all.
func (k *keeper) users() []check.Holder {
	k.devices()
	k.references()
	for i := range k.out {
		k.out[i] = Name(k.h, k.out[i])
	}
	slices.SortStableFunc(k.out, func(a, b check.Holder) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.MountNamespace, b.MountNamespace), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Path, b.Path))
	})
	return k.out
}

func newKeeper(h *snapshot.Host, t Target) *keeper {
	n := len(t.Mounts)
	k := &keeper{h: h, t: t, found: make(map[uint64]Place, n), once: map[check.Holder]bool{}, out: slices.Grow([]check.Holder(nil), n)}
	for _, p := range t.Mounts {
		if point := p.Mount.Point; point != "" && !slices.Contains(k.points, point) {
			k.points = append(k.points, point)
		}
		k.found[p.Mount.ID] = p
		if p.Mount.OldID != 0 {
			k.found[uint64(p.Mount.OldID)] = p // as references have it before Linux 6.8
		}
	}
	return k
}

// rank orders holders: namespaces first, for they keep the mount itself.
func rank(kind string) int {
	return slices.Index([]string{"process", "thread", "bind", "socket", "unknown", "fd", "cwd", "root", "mmap", "iouring", "submount", "overlay", "loop", "swap"}, kind)
}

type keeper struct {
	h      *snapshot.Host
	t      Target
	found  map[uint64]Place
	points []string // where the target is mounted, each once
	once   map[check.Holder]bool
	out    []check.Holder
}

func (k *keeper) add(holder check.Holder) {
	if !k.once[holder] {
		k.once[holder] = true
		k.out = append(k.out, holder)
	}
}

// namespaces adds one holder for each namespace that has the target mounted.
func (k *keeper) namespaces() {
	var last *snapshot.MountNamespace
	for _, p := range k.t.Mounts {
		if p.Namespace == last {
			continue // one entry a namespace
		}
		last = p.Namespace
		holder := Pinned(k.h, p.Namespace)
		if holder.Path == "" || holder.Kind != "bind" {
			holder.Path = p.Mount.Point
		}
		holder.MountID = p.Mount.ID
		k.out = append(k.out, holder)
	}
}

// Pinned is who keeps a mount namespace: of its processes the one with the lowest
// pid, else a thread, a bound file, an open file, a socket in which descriptors
// are in flight. If nothing of that has been found, it is kept by what has no name.
func Pinned(h *snapshot.Host, ns *snapshot.MountNamespace) check.Holder {
	best := check.Holder{Kind: "unknown"}
	order := []string{"process", "thread", "bind", "fd", "socket"}
	at := len(order)
	for _, p := range ns.Pins {
		i := slices.Index(order, p.Kind)
		if i < 0 || i > at || i == at && (p.PID > best.PID || p.PID == best.PID && p.TID >= best.TID) {
			continue
		}
		at = i
		best = check.Holder{Kind: p.Kind, PID: p.PID, TID: p.TID, FD: p.FD, Path: p.Path}
		if p.Kind == "bind" {
			best.PID = binder(h, p.Namespace)
		}
	}
	best.MountNamespace, best.MountNamespaceID = ns.Inode, ns.ID
	return best
}

// binder is a process of the namespace in which a namespace's file is bound, 0 if it has none.
func binder(h *snapshot.Host, inode uint64) int {
	for i := range h.Mounts.Namespaces {
		if ns := &h.Mounts.Namespaces[i]; ns.Inode == inode {
			return firstProcess(ns)
		}
	}
	return 0
}

// submounts adds what is mounted on the target, in the namespaces that have it.
func (k *keeper) submounts() {
	if len(k.t.Mounts) == 0 {
		return
	}
	has := map[*snapshot.MountNamespace]bool{}
	below := childrenOf(k.h)
	var on []spot
	for _, p := range k.t.Mounts {
		has[p.Namespace] = true
		on = append(on, below[p.Mount.ID]...)
	}
	for _, s := range inOrder(on) {
		p := s.in(k.h)
		if _, it := k.found[p.Mount.ID]; !it && has[p.Namespace] {
			k.add(check.Holder{Kind: "submount", Path: p.Mount.Point, MountNamespace: p.Namespace.Inode, MountNamespaceID: p.Namespace.ID, MountID: p.Mount.ID})
		}
	}
}

// devices adds what stands on files of the target: overlays, loop devices, swap.
func (k *keeper) devices() {
	all := k.h.Mounts
	if all == nil {
		return
	}
	if len(k.t.Mounts) == 0 {
		k.leftBehind()
		return
	}
	names := k.named()
	for _, b := range all.Blocks {
		if b.Backing != "" && k.isOn(strings.TrimSuffix(b.Backing, " (deleted)"), names) {
			k.add(check.Holder{Kind: "loop", Path: b.Backing})
		}
	}
	for _, file := range all.Swaps {
		if k.isOn(file, names) || k.isBlock(file) {
			k.add(check.Holder{Kind: "swap", Path: file})
		}
	}
	var on []spot
	for _, o := range overlaysOf(k.h) {
		mounted := func(p Place) bool { // a container has other directories of these names
			return slices.ContainsFunc(o.mounts, func(s spot) bool { return s.in(k.h).Namespace == p.Namespace })
		}
		if slices.ContainsFunc(o.dirs, func(dir string) bool { return k.isOn(dir, mounted) }) {
			on = append(on, o.mounts...)
		}
	}
	for _, s := range inOrder(on) {
		p := s.in(k.h)
		if _, it := k.found[p.Mount.ID]; !it {
			k.add(check.Holder{Kind: "overlay", Path: p.Mount.Point, MountNamespace: p.Namespace.Inode, MountNamespaceID: p.Namespace.ID, MountID: p.Mount.ID})
		}
	}
}

// leftBehind adds the overlays with a layer below a path at which nothing is
// mounted: an overlay keeps its layers' file systems in use after their unmount.
// And the loop devices and swap areas on files there, or on the file of that name.
//
// Source: Linux 6.12 fs/overlayfs/super.c, clone_private_mount.
func (k *keeper) leftBehind() {
	word := path.Clean(k.t.Word)
	if !strings.HasPrefix(word, "/") || word == "/" {
		return
	}
	for _, b := range k.h.Mounts.Blocks {
		switch file := strings.TrimSuffix(b.Backing, " (deleted)"); {
		case file == word:
			k.add(check.Holder{Kind: "loop", Path: "/dev/" + b.Name})
		case file != "" && within(file, word):
			k.add(check.Holder{Kind: "loop", Path: b.Backing})
		}
	}
	for _, file := range k.h.Mounts.Swaps {
		if within(file, word) {
			k.add(check.Holder{Kind: "swap", Path: file})
		}
	}
	for i := range k.h.Mounts.Namespaces {
		ns := &k.h.Mounts.Namespaces[i]
		for n := range ns.Mounts {
			m := &ns.Mounts[n]
			if slices.ContainsFunc(Directories(m, "lowerdir", "upperdir", "workdir"), func(dir string) bool { return within(dir, word) }) {
				k.add(check.Holder{Kind: "overlay", Path: m.Point, MountNamespace: ns.Inode, MountNamespaceID: ns.ID, MountID: m.ID})
			}
		}
	}
}

func (k *keeper) isBlock(file string) bool {
	d := DeviceOf(k.h.Mounts, file)
	return d != "" && slices.Contains(k.t.Devices, d)
}

// named returns by which mounts of the target the kernel names the files of loop devices
// and swap areas: as the host sees them or, of a target that the host has not, as its own
// namespace does. But if that is its "/" the file is most likely the host's, whose every
// path is below it.
//
// Source: Linux 6.12 drivers/block/loop.c, loop_attr_backing_file_show; fs/d_path.c, d_path.
func (k *keeper) named() func(Place) bool {
	first := k.h.MountNamespaceOf(1)
	if first == nil {
		return anywhere
	}
	hosts := slices.ContainsFunc(k.t.Mounts, func(p Place) bool { return p.Namespace == first })
	return func(p Place) bool { return p.Namespace == first || !hosts && p.Mount.Point != "/" }
}

func anywhere(Place) bool { return true }

// isOn reports whether a path leads to the target by one of these mounts of it: it is
// below a mount of it, and below nothing that is mounted on that. A mount that this one
// covers is below it by its path alone, and does not count.
func (k *keeper) isOn(file string, by func(Place) bool) bool {
	if !slices.ContainsFunc(k.points, func(point string) bool { return within(file, point) }) {
		return false
	}
	for _, p := range k.t.Mounts {
		if p.Mount.Point == "" || !within(file, p.Mount.Point) || !by(p) {
			continue
		}
		leadsOn := func(s spot) bool {
			point := s.in(k.h).Mount.Point
			return len(point) > len(p.Mount.Point) && within(file, point)
		}
		if !slices.ContainsFunc(childrenOf(k.h)[p.Mount.ID], leadsOn) {
			return true
		}
	}
	return false
}

// references adds what processes hold: of a mount of the target, or of one that
// is in no namespace any more and stands on the same superblock.
func (k *keeper) references() {
	if k.h.Mounts == nil {
		return
	}
	type who struct {
		pid, tid int
		kind     string
	}
	seen := map[who]bool{}
	layers := sync.OnceValue(func() []Layer { return Layers(k.h, k.t.Word) })
	for _, i := range k.relevant() {
		r := &k.h.Mounts.References[i]
		p, mounted := k.found[r.Mount]
		layered := r.Layer != "" && slices.ContainsFunc(layers(), func(l Layer) bool { return l.Dir == r.Layer }) // not that of another target
		detached := layered || r.Mount != 0 && slices.Contains(k.t.Devices, r.Device) && !k.listed(r.Mount)
		if !mounted && !detached && !(r.Kind == "iouring" && k.isOn(r.Link, anywhere)) {
			continue
		}
		holder := OfReference(r)
		if mounted {
			holder.MountNamespace, holder.MountNamespaceID = p.Namespace.Inode, p.Namespace.ID
		}
		if w := (who{r.PID, r.TID, holder.Kind}); !seen[w] {
			seen[w] = true
			k.add(holder)
		}
	}
}

// relevant are the numbers of the references that may be of the target.
func (k *keeper) relevant() []int {
	all := referencesOf(k.h)
	out := slices.Clone(all.loose)
	for id := range k.found {
		out = append(out, all.on[id]...)
	}
	slices.Sort(out)
	return out
}

// OfReference is the holder that a reference makes of its process, not named yet.
func OfReference(r *snapshot.Reference) check.Holder {
	holder := check.Holder{Kind: r.Kind, PID: r.PID, TID: r.TID, FD: r.FD, Path: r.Link, MountID: r.Mount}
	if r.Kind == "exe" {
		holder.Kind = "mmap" // it is mapped
	}
	return holder
}

// listed reports whether a mount is in some namespace.
func (k *keeper) listed(id uint64) bool { return k.h.Mount(id) != nil }

// Name tells a holder as people know it: its process's name, unit or container.
func Name(h *snapshot.Host, holder check.Holder) check.Holder {
	p := h.Process(holder.PID)
	if p == nil {
		return holder
	}
	holder.Comm, holder.Container = p.Comm, p.Container
	if c := h.Container(p.Container); c != nil {
		holder.Pod = c.Pod
	}
	if p.Container == "" {
		holder.Unit = Unit(p.Cgroup)
	}
	return holder
}

// WhoAll is the first of several holders in a sentence, with how many more there
// are; there must be one.
func WhoAll(h *snapshot.Host, all []check.Holder) string {
	who := Who(h, all[0])
	if more := len(all) - 1; more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	return who
}

// Who is a holder in a sentence: process, then unit or container.
func Who(h *snapshot.Host, holder check.Holder) string {
	if holder.PID == 0 && holder.Kind == "unknown" && unread(h) {
		return "something that could not be read, or has no name"
	}
	if holder.PID == 0 {
		return map[string]string{"unknown": "something without a name: no process, thread, bound file or open file; a descriptor in flight",
			"bind": "a bound file at " + holder.Path}[holder.Kind]
	}
	text := fmt.Sprintf("%s (pid %d)", holder.Comm, holder.PID)
	switch holder.Kind {
	case "thread":
		text = fmt.Sprintf("thread %d of %s", holder.TID, text)
	case "bind":
		text = fmt.Sprintf("a bound file at %s in the namespace of %s", holder.Path, text)
	case "socket":
		text = fmt.Sprintf("a descriptor in flight, in socket %d of %s perhaps", holder.FD, text)
	}
	switch {
	case holder.Container != "":
		text += ", container " + check.ContainerName(h, holder.Container)
	case holder.Unit != "":
		text += ", " + holder.Unit
	}
	if holder.Kind == "fd" {
		text += fmt.Sprintf(", fd %d", holder.FD)
	}
	return text
}

// unread reports whether a process or namespace may be there that was not seen.
func unread(h *snapshot.Host) bool {
	return slices.ContainsFunc(h.Unread, func(u snapshot.Unread) bool {
		return u.Part == snapshot.MountTables || u.Part == snapshot.Processes && u.Whole
	})
}

// Unit is the systemd unit in a cgroup path, "" if there is none.
//
// Source: systemd's CONTROL_GROUP_INTERFACE; systemd.unit(5).
func Unit(cgroup string) string {
	unit := ""
	for part := range strings.SplitSeq(cgroup, "/") {
		for _, kind := range []string{".service", ".scope", ".socket", ".mount"} {
			if strings.HasSuffix(part, kind) {
				unit = part
			}
		}
	}
	return unit
}
