package cli_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"sexton.dev/linux/mounts"
	"sexton.dev/propagation"
)

// A paste is what somebody posted of one namespace.
type paste struct {
	name  string
	space int // of the world
	lines []pasteLine
}

// A pasteLine is one mount as it was posted.
type pasteLine struct {
	mounts.Mount
	text             string
	numbered, tagged bool // it has ids and device; it has what mountinfo says of propagation
}

// A cutting is how excerpts are made of whole tables.
type cutting struct {
	name   string
	keep   func(r *rand.Rand, word string, target, m mounts.Mount) bool
	plain  int // of ten lines, how many are as in /proc/mounts
	short  int // of ten, how many end within the tags
	all    bool
	prefix bool
}

var cuttings = []cutting{
	{name: "whole", all: true, keep: keepAll},
	{name: "whole with prefixes", all: true, keep: keepAll, prefix: true},
	{name: "grep path", prefix: true, keep: func(_ *rand.Rand, _ string, target, m mounts.Mount) bool {
		return strings.Contains(m.MountPoint, target.MountPoint)
	}},
	{name: "grep name", keep: func(_ *rand.Rand, _ string, target, m mounts.Mount) bool {
		return strings.Contains(m.MountPoint, target.MountPoint[strings.LastIndex(target.MountPoint, "/"):])
	}},
	{name: "grep device", prefix: true, keep: func(_ *rand.Rand, _ string, target, m mounts.Mount) bool { return m.Minor == target.Minor }},
	{name: "most lines", keep: func(r *rand.Rand, _ string, _, _ mounts.Mount) bool { return r.IntN(8) > 0 }},
	{name: "some lines", keep: func(r *rand.Rand, _ string, _, _ mounts.Mount) bool { return r.IntN(2) > 0 }},
	{name: "few other lines", keep: func(r *rand.Rand, _ string, target, m mounts.Mount) bool {
		return m.MountPoint == target.MountPoint || r.IntN(3) == 0
	}},
	{name: "whole, some plain", keep: keepAll, plain: 3},
	{name: "some lines, some plain", keep: func(r *rand.Rand, _ string, _, _ mounts.Mount) bool { return r.IntN(3) > 0 }, plain: 2},
	{name: "whole, some short", keep: keepAll, short: 3},
	{name: "some lines, some short", keep: func(r *rand.Rand, _ string, _, _ mounts.Mount) bool { return r.IntN(3) > 0 }, short: 2},
}

func keepAll(*rand.Rand, string, mounts.Mount, mounts.Mount) bool { return true }

// cut makes excerpts of a world's tables. What is empty is not posted, and but for
// whole ones a namespace may be left out.
func (w *excerptWorld) cut(c cutting, word string, target mounts.Mount) (out []paste) {
	for i, s := range w.spaces {
		p := paste{name: s.name, space: i}
		if !c.all && w.IntN(6) == 0 {
			continue
		}
		for k, m := range s.mounts {
			if c.keep(w.Rand, word, target, m) {
				p.lines = append(p.lines, w.line(c, s, k))
			}
		}
		if len(p.lines) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func (w *excerptWorld) line(c cutting, s excerptSpace, k int) pasteLine {
	m, l := s.mounts[k], pasteLine{Mount: s.mounts[k], text: s.lines[k], numbered: true, tagged: true}
	f := strings.Split(l.text, " ")
	switch n := w.IntN(10); {
	case n < c.plain:
		l.text, l.numbered, l.tagged = fmt.Sprintf("%s %s %s %s 0 0", m.Source, f[4], m.Type, m.Options), false, false
	case n < c.short:
		least := len(strings.Join(f[:6], " "))
		most := strings.Index(l.text, " - ")
		l.text, l.tagged = strings.TrimRight(l.text[:least+w.IntN(most-least+1)], " "), false
	}
	if c.prefix {
		l.text = one(w.Rand, "", "# ", fmt.Sprintf("/proc/%d/mountinfo:", 100+len(s.name)), fmt.Sprintf("/proc/7/mountinfo:%d:", k+1)) + l.text
		l.text = strings.Replace(l.text, "/proc/7/", "/proc/101/", 1) // one process of each namespace
	}
	return l
}

func (p paste) text() string {
	var b strings.Builder
	for _, l := range p.lines {
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

// loose says that a line shows a mount on one that is not listed, or may be the one
// that a number means.
func (p paste) loose(word string) bool {
	plain := 0
	for _, l := range p.lines {
		if !l.numbered {
			plain++
		}
	}
	if plain == len(p.lines) && strings.Contains(word, "/") {
		return p.lines[0].MountPoint != "/"
	}
	for _, l := range p.lines {
		if !l.numbered || l.MountPoint != "/" && !slices.ContainsFunc(p.lines, func(o pasteLine) bool { return o.numbered && l.numbered && o.ID == l.Parent }) {
			return true
		}
	}
	return false
}

// targetsOf are, for each paste, the mounts that a word means there: those that show
// what the first that it names shows; else those that it names.
func targetsOf(word string, pastes []paste) [][]pasteLine {
	path := "/" + strings.Trim(word, "/")
	names := func(l pasteLine) bool {
		return l.MountPoint == path || l.numbered && (word == fmt.Sprint(l.ID) || word == fmt.Sprintf("%d:%d", l.Major, l.Minor))
	}
	var first *pasteLine
	for _, p := range pastes {
		for i, l := range p.lines {
			covered := slices.ContainsFunc(p.lines, func(o pasteLine) bool { return o.numbered && o.Parent == l.ID && names(o) })
			if first == nil && l.numbered && names(l) && !covered {
				first = &p.lines[i]
			}
		}
	}
	out := make([][]pasteLine, len(pastes))
	for i, p := range pastes {
		same := func(l pasteLine) bool {
			return first != nil && l.numbered && l.Minor == first.Minor && (l.Root == first.Root || names(l) && strings.Contains(word, ":"))
		}
		for _, is := range []func(l pasteLine) bool{
			func(l pasteLine) bool { return same(l) || !l.numbered && names(l) },
			names,
			func(l pasteLine) bool { return strings.HasSuffix(l.MountPoint, path) },
		} {
			for _, l := range p.lines {
				if is(l) {
					out[i] = append(out[i], l)
				}
			}
			if len(out[i]) > 0 {
				break
			}
		}
	}
	return out
}

// table is the whole truth.
func (w *excerptWorld) table() (all []propagation.Mount, spaces []propagation.Namespace) {
	for i, s := range w.spaces {
		spaces = append(spaces, propagation.Namespace{ID: uint64(i) + 1})
		for _, m := range s.mounts {
			all = append(all, propagation.Mount{ID: uint64(m.ID), Parent: uint64(m.Parent), Namespace: uint64(i) + 1, Peer: uint64(m.Shared), Master: uint64(m.Master),
				Device: uint64(m.Minor), Root: m.Root, Point: m.MountPoint, Unbindable: m.Unbindable})
		}
	}
	return all, spaces
}

// without leaves out of the truth what is mounted below a target and not listed: an
// excerpt is taken to have that, since whoever greps for a path has it. What
// something listed is mounted on stays.
func without(all []propagation.Mount, pastes []paste, targets [][]pasteLine) []propagation.Mount {
	listed, on := map[uint64]bool{}, map[uint64]bool{}
	for i, p := range pastes {
		for _, l := range p.lines {
			listed[uint64(l.ID)] = true
		}
		for _, l := range targets[i] {
			on[uint64(l.ID)] = true
		}
	}
	all = slices.Clone(all)
	for again := true; again; {
		again = false
		below, kids := map[uint64]bool{}, map[uint64]bool{}
		for range 20 { // deep enough
			for _, m := range all {
				kids[m.Parent] = true
				below[m.ID] = below[m.ID] || on[m.Parent] || below[m.Parent]
			}
		}
		n := len(all)
		all = slices.DeleteFunc(all, func(m propagation.Mount) bool { return below[m.ID] && !listed[m.ID] && !kids[m.ID] })
		again = len(all) < n
	}
	return all
}
