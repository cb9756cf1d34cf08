package propagation_test

import (
	"fmt"
	"strings"

	"sexton.dev/propagation"
)

// A comparison pairs the mounts of a prediction with those of the kernel. What the prediction
// invented has ids and groups above last; those are the same up to their names.
type comparison struct {
	want, got     *world
	last          uint64
	ids           map[uint64]uint64 // of the prediction to the kernel's
	groups, names map[uint64]uint64 // invented groups to the kernel's, and back
	known         map[uint64]bool   // mounts of the kernel whose lock is known
	wasKnown      map[uint64]bool   // the same, before
	diff          []string
}

func highest(mounts []propagation.Mount) (last uint64) {
	for _, m := range mounts {
		last = max(last, m.ID, m.Peer, m.Master)
	}
	return last
}

func (c *comparison) say(format string, args ...any) {
	c.diff = append(c.diff, fmt.Sprintf(format, args...))
}

func (c *comparison) mount(w *world, m propagation.Mount) string {
	return fmt.Sprintf("%s:%s %+v", w.name(m.Namespace), m.Point, m)
}

// compare finds every difference.
func (c *comparison) compare() []string {
	type place struct {
		parent uint64
		point  string
	}
	byID, byPlace := map[uint64]propagation.Mount{}, map[place]propagation.Mount{}
	roots := map[string]propagation.Mount{}
	gotTable, problems := c.got.table()
	for _, p := range problems {
		if !strings.Contains(p.Text, "nobody listed is in that") { // a detached tree may hold the master
			c.say("the kernel's table has a problem: %+v", p)
		}
	}
	for _, m := range c.got.mounts {
		byID[m.ID] = m
		byPlace[place{m.Parent, m.Point}] = m
		if _, inner := gotTable.On(m.ID); !inner {
			roots[c.got.name(m.Namespace)] = m
		}
	}
	wantTable, _ := c.want.table()
	c.ids, c.groups, c.names = map[uint64]uint64{}, map[uint64]uint64{}, map[uint64]uint64{}
	used := map[uint64]bool{}
	for _, m := range c.want.mounts { // parents are first among the new ones
		if m.ID <= c.last {
			c.ids[m.ID] = m.ID
		}
	}
	for _, m := range c.want.mounts {
		if m.ID <= c.last {
			used[m.ID] = true
			continue
		}
		g := byPlace[place{c.ids[m.Parent], m.Point}]
		if _, inner := wantTable.On(m.ID); !inner {
			g = roots[c.want.name(m.Namespace)]
		}
		c.ids[m.ID], used[g.ID] = g.ID, true
	}
	for _, m := range c.want.mounts {
		g, there := byID[c.ids[m.ID]]
		if !there {
			c.say("predicted, but not there: %s", c.mount(c.want, m))
			continue
		}
		_, inner := wantTable.On(m.ID)
		c.one(m, g, inner)
	}
	for _, g := range c.got.mounts {
		if !used[g.ID] {
			c.say("there, but not predicted: %s", c.mount(c.got, g))
		}
	}
	return c.diff
}

// one compares a mount with what the kernel says of it.
func (c *comparison) one(m, g propagation.Mount, inner bool) {
	want, got := m, g
	want.ID = got.ID
	if inner {
		want.Parent = c.ids[m.Parent]
	} else {
		want.Parent = got.Parent
	}
	if c.want.name(m.Namespace) == c.got.name(g.Namespace) {
		want.Namespace = got.Namespace
	}
	if m.Device == newDevice {
		want.Device = got.Device
	}
	want.Peer, want.Master = c.group(m.Peer, g.Peer), c.group(m.Master, g.Master)
	want.Root, got.Root = strings.TrimSuffix(m.Root, "//deleted"), strings.TrimSuffix(g.Root, "//deleted")
	if !inner || !c.known[g.ID] || m.ID <= c.last && !c.wasKnown[m.ID] {
		want.Locked = got.Locked
	}
	if want != got {
		c.say("predicted %s\n     got %s", c.mount(c.want, want), c.mount(c.got, got))
	}
}

// group is the kernel's name of a group of the prediction; got is what it must be if it is new.
func (c *comparison) group(want, got uint64) uint64 {
	if want <= c.last || got == 0 {
		return want
	}
	if name, ok := c.groups[want]; ok {
		return name
	}
	if _, taken := c.names[got]; taken {
		return want
	}
	c.groups[want], c.names[got] = got, want
	return got
}

// rename lets roots and points follow a directory entry that was renamed.
func (w *world) rename(from, to propagation.Place) {
	t, _ := w.table()
	moved := func(path string) string {
		if rest, ok := strings.CutPrefix(path, from.Path); ok && (rest == "" || rest[0] == '/') {
			return to.Path + rest
		}
		return path
	}
	dir, _ := t.Mount(from.Mount)
	at := map[uint64]propagation.Place{}
	now := map[uint64]*propagation.Mount{}
	for i := range w.mounts {
		m := &w.mounts[i]
		now[m.ID] = m
		if on, inner := t.On(m.ID); inner {
			at[m.ID] = on
		}
	}
	for i := range w.mounts {
		if m := &w.mounts[i]; m.Device == dir.Device {
			m.Root = moved(m.Root)
		}
	}
	done := map[uint64]bool{}
	var point func(id uint64)
	point = func(id uint64) { // parents first
		on, inner := at[id]
		if !inner || done[id] {
			return
		}
		done[id] = true
		point(on.Mount)
		parent := now[on.Mount]
		if parent.Device == dir.Device {
			on.Path = moved(on.Path)
		}
		now[id].Point = full(strings.TrimSuffix(parent.Point, "/") + "/" + strings.Trim(strings.TrimPrefix(on.Path, strings.TrimSuffix(parent.Root, "/")), "/"))
	}
	for id := range now {
		point(id)
	}
}
