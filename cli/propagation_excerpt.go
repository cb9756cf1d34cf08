package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/holding"
	"sexton.dev/linux/mounts/excerpt"
	"sexton.dev/propagation"
	"sexton.dev/propagation/verdict"
)

// apart is the number of bits of a mount id.
const apart = 32

// placeExcerpts puts the mounts of all excerpts into one table, which the question
// then is about, and finds the target in each.
//
// The kernel numbers mounts over all namespaces, but excerpts may be of different
// hours: each side's numbers are kept apart. Peer groups are the same for all.
func placeExcerpts(q *verdict.Question, all []excerpt.Table) *propagation.Table {
	var mounts []propagation.Mount
	var spaces []propagation.Namespace
	q.Untagged = map[uint64]bool{}
	for i := range q.Sides {
		base := uint64(i+1) << apart
		q.Sides[i].Namespace, q.Sides[i].Whole, q.Sides[i].Loose = base, all[i].Whole, map[uint64]string{}
		spaces = append(spaces, propagation.Namespace{ID: base})
		listed := map[int]bool{}
		for _, m := range all[i].Mounts {
			listed[m.ID] = listed[m.ID] || m.Numbered
		}
		for n, m := range all[i].Mounts {
			p := propagation.Mount{ID: base + uint64(m.ID), Parent: base + uint64(m.Parent), Namespace: base, Peer: uint64(m.Shared), Master: uint64(m.Master),
				Device: uint64(m.Major)<<apart | uint64(m.Minor), Root: m.Root, Point: m.MountPoint, Unbindable: m.Unbindable}
			if !m.Numbered { // no ids: a place of its own behind all that the kernel gives
				p.ID = base + 1<<31 + uint64(n)
				q.Sides[i].Whole = q.Sides[i].Whole && strings.Contains(q.Target, "/") // it may be that one
			}
			if !m.Numbered || m.Options == "" { // cut there, the mount point may be too short
				p.Parent = 0
			}
			q.Untagged[p.ID] = !m.Numbered || m.Cut
			if p.Parent == 0 || !listed[m.Parent] {
				q.Sides[i].Loose[p.ID] = m.MountPoint
			}
			mounts = append(mounts, p)
		}
	}
	findTargets(q.Target, q.Sides, mounts)
	table, _ := propagation.New(mounts, spaces)
	return table
}

// findTargets gives each side the mounts that the target is there: those that show
// the same part of a file system as the first that the word names, at whatever
// place, as a container has a host's; where there is none, what is at its path, or
// at the end of a longer one.
func findTargets(word string, sides []verdict.Side, mounts []propagation.Mount) {
	type part struct {
		device uint64
		root   string
	}
	var first *part
	shown := func(m propagation.Mount) bool {
		return first != nil && numbered(m) && part{m.Device, m.Root} == *first
	}
	names := named(word)
	covered := map[uint64]bool{}
	for _, m := range mounts {
		covered[m.Parent] = covered[m.Parent] || names(m)
	}
	for _, m := range mounts {
		if names(m) && numbered(m) && !covered[m.ID] && first == nil {
			first = &part{m.Device, m.Root}
		}
	}
	path := "/" + strings.Trim(word, "/")
	for _, is := range []func(propagation.Mount) bool{
		func(m propagation.Mount) bool { return shown(m) || names(m) && (isDevice(word) || !numbered(m)) },
		names,
		func(m propagation.Mount) bool { return path != "/" && strings.HasSuffix(m.Point, path) },
	} {
		for i := range sides {
			if len(sides[i].Targets) == 0 {
				sides[i].Targets = targetsIn(sides[i].Namespace, mounts, is, names)
			}
		}
	}
}

// targetsIn are the mounts of one side that are the target. What its name leads to
// is the last: not another place where the same is shown, nor what it covers.
func targetsIn(side uint64, mounts []propagation.Mount, is, names func(propagation.Mount) bool) []uint64 {
	var elsewhere, there []uint64
	parents := map[uint64]uint64{}
	for _, m := range mounts {
		switch {
		case m.Namespace != side:
			continue
		case is(m) && names(m):
			there = append(there, m.ID)
		case is(m):
			elsewhere = append(elsewhere, m.ID)
		}
		parents[m.ID] = m.Parent
	}
	if len(there) == 0 {
		there, elsewhere = elsewhere, nil
	}
	covered := map[uint64]bool{}
	for _, id := range there {
		for up, steps := parents[id], 0; up != 0 && steps < len(mounts); up, steps = parents[up], steps+1 {
			covered[up] = true
		}
	}
	for i, id := range there {
		if !covered[id] {
			there = append(slices.Delete(there, i, i+1), id)
			break
		}
	}
	return append(elsewhere, there...)
}

// named tells which mounts a word names: a path, a device as 8:16, or a mount id.
func named(word string) func(propagation.Mount) bool {
	if id, err := strconv.ParseUint(word, 10, apart); err == nil {
		return func(m propagation.Mount) bool { return numbered(m) && m.ID&(1<<apart-1) == id }
	}
	if isDevice(word) {
		return func(m propagation.Mount) bool {
			return numbered(m) && fmt.Sprintf("%d:%d", m.Device>>apart, m.Device&(1<<apart-1)) == word
		}
	}
	path := "/" + strings.Trim(word, "/")
	linked := holding.Linked(path)
	return func(m propagation.Mount) bool { return m.Point == path || m.Point == linked }
}

func isDevice(word string) bool {
	major, minor, ok := strings.Cut(word, ":")
	_, err := strconv.ParseUint(major, 10, apart)
	_, err2 := strconv.ParseUint(minor, 10, apart)
	return ok && err == nil && err2 == nil
}

// numbered tells that the text had the mount's ids and device.
func numbered(m propagation.Mount) bool { return m.ID&(1<<apart-1) < 1<<31 }
