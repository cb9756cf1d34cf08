package propagation_test

import (
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"sexton.dev/propagation"
)

// A kind of trial draws a topology, and chooses calls that fit it.
type kind struct {
	draw   func(r *rand.Rand, flavour string) *generator
	choose func(h *host, g *generator, w *world) []step
}

var kinds = map[string]kind{
	"lazy": {
		func(r *rand.Rand, flavour string) *generator { return draw(r, flavour, 5+r.IntN(14), 5) },
		func(h *host, g *generator, w *world) []step { return chooseVictim(h, g, w, "umount-l") },
	},
	"plain": {
		func(r *rand.Rand, flavour string) *generator {
			g := draw(r, flavour, 5+r.IntN(14), 5)
			g.holders(r.IntN(5))
			return g
		},
		func(h *host, g *generator, w *world) []step { return chooseVictim(h, g, w, "umount") },
	},
	"detach": {drawDetach, chooseEntry},
	"mount": {
		func(r *rand.Rand, flavour string) *generator { return draw(r, flavour, 4+r.IntN(12), 5) },
		chooseMount,
	},
	"clone": {
		func(r *rand.Rand, flavour string) *generator { return draw(r, flavour, 4+r.IntN(12), 4) },
		chooseClone,
	},
}

// seen are the mounts that a path of their namespace leads to, below /x or in a container; not "/".
func (h *host) seen(g *generator, w *world) (out []propagation.Mount) {
	for _, m := range w.mounts {
		name := w.name(m.Namespace)
		inside := m.Point == "/x" || strings.HasPrefix(m.Point, "/x/")
		if m.Point == "/" || m.Point == "/proc" || !inside && !slices.Contains(g.containers, name) {
			continue
		}
		enter(h.space(name).fd)
		if h.mountAt(m.Point) == m.ID {
			out = append(out, m)
		}
	}
	enter(h.home)
	return out
}

// chooseVictim prefers mounts whose parent is shared and, for a plain call, those without children.
func chooseVictim(h *host, g *generator, w *world, verb string) []step {
	seen := h.seen(g, w)
	if len(seen) == 0 {
		return nil
	}
	t, _ := w.table()
	parents := map[uint64]bool{}
	for _, m := range w.mounts {
		parents[m.Parent] = true
	}
	victim := pick(g, seen)
	for range 12 {
		parent, _ := t.Mount(victim.Parent)
		dull := parent.Peer == 0 || verb == "umount" && parents[victim.ID]
		if !dull || g.IntN(4) == 0 {
			break
		}
		victim = pick(g, seen)
	}
	return []step{{w.name(victim.Namespace), verb, []string{short(victim.Point)}}}
}

// drawDetach uncovers some entries, so that they can be removed.
func drawDetach(r *rand.Rand, flavour string) *generator {
	g := draw(r, flavour, 5+r.IntN(14), 5)
	for range 3 {
		if s, d := g.any(), pick(g, dirs[1:]); g.IntN(2) == 0 {
			g.add(s, "rprivate", "p")
			g.add(s, "private", ".")
			g.add(s, "umount-l", d)
		}
	}
	return g
}

// chooseEntry takes an entry that is a mount point somewhere, preferably not in the caller's namespace.
func chooseEntry(_ *host, g *generator, w *world) []step {
	var found, free []step
	for _, name := range w.names {
		for _, d := range dirs[1:] {
			s := step{name, "rmdir", []string{d}}
			if slices.Contains(g.containers, name) {
				continue
			}
			e := w.predict(s).New
			if e.Errno != 0 || len(e.Fates) > 0 {
				found = append(found, s)
			}
			if e.Errno == 0 && len(e.Fates) > 0 {
				free = append(free, s)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	s := pick(g, found)
	if len(free) > 0 && g.IntN(4) > 0 {
		s = pick(g, free)
	}
	d := s.args[0]
	switch g.IntN(4) {
	case 0:
		return []step{{s.space, "rename", []string{d, d + "-away"}}}
	case 1:
		return []step{{s.space, "rename", []string{d + "-over", d}}}
	}
	return []step{s}
}

func chooseMount(h *host, g *generator, w *world) []step {
	s, from, to := g.any(), pick(g, dirs), pick(g, dirs)
	if h.space(s) == nil {
		return nil
	}
	switch verb := pick(g, []string{"tmpfs", "tmpfs", "bind", "rbind", "move", "move", "tree", "rtree", "beneath", "type"}); verb {
	case "tmpfs", "beneath":
		return []step{{s, verb, []string{to}}}
	case "type":
		return []step{{s, g.kind(), []string{from}}}
	case "move": // of a mount, below a parent that lets it go
		seen := h.seen(g, w)
		if len(seen) == 0 {
			return nil
		}
		m := pick(g, seen)
		s, t := w.name(m.Namespace), table(w)
		parent, _ := t.Mount(m.Parent)
		if slices.Contains(g.containers, s) {
			to = path.Dir(m.Point) + "/moved"
		}
		free := step{s, pick(g, []string{"slave", "private"}), []string{short(parent.Point)}}
		if g.IntN(8) == 0 || parent.Point == "/" {
			return []step{{s, verb, []string{short(m.Point), to}}}
		}
		return []step{free, {s, verb, []string{short(m.Point), to}}}
	default:
		return []step{{s, verb, []string{from, to}}}
	}
}

func table(w *world) *propagation.Table {
	t, _ := w.table()
	return t
}

// chooseClone clones, and makes of the clone what systemd and container runtimes do.
func chooseClone(_ *host, g *generator, _ *world) []step {
	at := len(g.steps)
	name := g.clone(g.any(), g.IntN(3) == 0)
	switch g.IntN(4) {
	case 0:
		g.add(name, "rslave", "/")
	case 1:
		g.add(name, "rslave", "/")
		g.add(name, "rshared", "/")
	case 2:
		g.add(name, "rprivate", "/")
	}
	return g.steps[at:]
}
