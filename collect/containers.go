package collect

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"sexton.dev/runtimes"
	"sexton.dev/snapshot"
)

// containers joins what cgroup paths say with what runtimes say. The report is
// complete without any runtime and richer with one.
func (l *looker) containers(replies []reply) {
	byID := map[string]*snapshot.Container{}
	get := func(id string) *snapshot.Container {
		if byID[id] == nil {
			byID[id] = &snapshot.Container{ID: id}
		}
		return byID[id]
	}
	for _, at := range l.placesByDepth() {
		if at.ID == "" || byID[at.ID] != nil {
			continue
		}
		c := get(at.ID)
		c.Runtime, c.PodUID, c.Cgroup = at.Runtime, at.PodUID, at.Path
		if len(at.Outer) > 0 {
			c.Outer = at.Outer[len(at.Outer)-1]
		}
	}
	for _, r := range replies {
		if r.Asleep || spoken(replies, r) {
			continue
		}
		l.h.Runtimes = append(l.h.Runtimes, snapshot.Runtime{
			Kind: string(r.Answer.Kind), Socket: r.Answer.Socket, Version: r.Answer.Version, Err: r.Err, Silent: r.Silent, Components: r.Answer.Components,
			Said: said(r.Answer.Said), Ran: r.Ran,
		})
		if r.Err != "" {
			at := string(r.Answer.Kind) + " at " + r.Answer.Socket
			l.h.Unread = append(l.h.Unread, snapshot.Unread{Part: snapshot.Names, Path: at, Err: strings.TrimPrefix(r.Err, at+": ")})
		}
		for _, from := range r.Answer.Containers {
			l.name(get(from.ID), r.Answer.Kind, from)
		}
	}
	l.podLogs(byID)
	for _, c := range byID {
		l.h.Containers = append(l.h.Containers, *c)
	}
	l.h.Sort()
	l.placeDead()
}

// spoken reports whether a socket that does not speak an API has answered in
// another: a containerd without its CRI plugin, as Docker ships it, lacks nothing.
func spoken(replies []reply, r reply) bool {
	return r.Other && slices.ContainsFunc(replies, func(o reply) bool { return o.Answer.Version != "" && o.Answer.Socket == r.Answer.Socket })
}

// placesByDepth returns the places nearest to the root first: a container may
// nest cgroups of any name below its own, and must not rename itself or
// another by a deeper path.
func (l *looker) placesByDepth() []*place {
	out := slices.Collect(maps.Values(l.places))
	slices.SortFunc(out, func(a, b *place) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Path, "/"), strings.Count(b.Path, "/")), cmp.Compare(a.Path, b.Path))
	})
	return out
}

// placeDead puts each dead process where its parent is: version 1 moves a
// process to the root of each hierarchy when it dies.
func (l *looker) placeDead() {
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		parent := l.h.Process(p.PPID)
		if p.State == snapshot.Dead && p.Container == "" && parent != nil && parent.Container != "" {
			p.Container, p.Cgroup = parent.Container, parent.Cgroup
		}
	}
}

// name adds what a runtime says of a container. Docker and CRI know people's
// names; containerd, which is below both, fills the gaps.
func (l *looker) name(c *snapshot.Container, kind runtimes.Kind, from runtimes.Container) {
	if kind == runtimes.Containerd {
		c.Name, c.State, c.Image = cmp.Or(c.Name, from.Name), cmp.Or(c.State, from.State), cmp.Or(c.Image, from.Image)
	} else {
		c.Name, c.State, c.Image = cmp.Or(from.Name, c.Name), cmp.Or(from.State, c.State), cmp.Or(from.Image, c.Image)
		if c.Runtime == "" {
			c.Runtime = string(kind)
		}
	}
	if !slices.Contains(c.ListedBy, string(kind)) {
		c.ListedBy = append(c.ListedBy, string(kind))
	}
	if c.Runtime == "" || c.Runtime == string(runtimes.CRI) {
		c.Runtime = string(kind)
	}
	if from.Pod != "" {
		c.Pod = from.PodNS + "/" + from.Pod
	}
	c.PodUID = cmp.Or(c.PodUID, from.PodUID)
	c.Init = cmp.Or(c.Init, from.PID)
	c.Bundle, c.RootFS = cmp.Or(c.Bundle, from.Bundle), cmp.Or(c.RootFS, from.RootFS)
	c.Health, c.Sandbox = c.Health || from.Health, c.Sandbox || from.Sandbox
	if p := l.h.Process(from.PID); p != nil && p.Container == "" && p.Cgroup != "/" && from.PID > 1 {
		l.adopt(c, p.Cgroup)
	}
}

// adopt gives a container whose id is no cgroup's name (ctr run redis: /default/redis) the processes below its cgroup.
func (l *looker) adopt(c *snapshot.Container, cgroup string) {
	c.Cgroup = cgroup
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if p.Container == "" && (p.Cgroup == cgroup || strings.HasPrefix(p.Cgroup, cgroup+"/")) {
			p.Container = c.ID
		}
	}
}

// findInits notes the first process of each container: PID 1 of its PID
// namespace, else, where the namespace is shared, the oldest that came in from outside.
func (l *looker) findInits() {
	first := map[string]*snapshot.Process{}
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if !l.entered(p) {
			continue
		}
		best := first[p.Container]
		if best == nil || p.First() && !best.First() || p.First() == best.First() && p.Start < best.Start {
			first[p.Container] = p
		}
	}
	for id, p := range first {
		if c := l.h.Container(id); c != nil && c.Init == 0 {
			c.Init = p.PID
		}
	}
}
