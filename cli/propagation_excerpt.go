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

// placeExcerpts puts the mounts of all excerpts into one table and finds the
// target in each.
//
// The kernel numbers mounts over all namespaces, but excerpts may be of different
// hours: each side's numbers are kept apart. Peer groups are the same for all.
func placeExcerpts(target string, sides []verdict.Side, all []excerpt.Table) *propagation.Table {
	var mounts []propagation.Mount
	var spaces []propagation.Namespace
	for i := range sides {
		base := uint64(i+1) << apart
		sides[i].Namespace, sides[i].Whole, sides[i].Untagged = base, all[i].Whole, true
		spaces = append(spaces, propagation.Namespace{ID: base})
		for n, m := range all[i].Mounts {
			p := propagation.Mount{ID: base + uint64(m.ID), Parent: base + uint64(m.Parent), Namespace: base, Peer: uint64(m.Shared), Master: uint64(m.Master),
				Device: uint64(m.Major)<<apart | uint64(m.Minor), Root: m.Root, Point: m.MountPoint, Unbindable: m.Unbindable}
			if !m.Numbered { // no ids: a place of its own behind all that the kernel gives
				p.ID, p.Parent = base+1<<31+uint64(n), 0
			}
			mounts = append(mounts, p)
			sides[i].Untagged = sides[i].Untagged && !m.Numbered
		}
	}
	findTargets(target, sides, mounts)
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
		func(m propagation.Mount) bool { return shown(m) || names(m) && isDevice(word) },
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
	covered := map[uint64]bool{}
	for _, m := range mounts {
		switch {
		case m.Namespace != side || !is(m):
			continue
		case names(m):
			there = append(there, m.ID)
		default:
			elsewhere = append(elsewhere, m.ID)
		}
		covered[m.Parent] = true
	}
	if len(there) == 0 {
		there, elsewhere = elsewhere, nil
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
