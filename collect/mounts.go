package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"sexton.dev/collect/door"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/snapshot"
)

// A Narrow says which mounts a question is about, where not all are needed: the
// strings of the others are not read, which is most of the time.
type Narrow struct {
	Devices []string // superblocks, "8:16"
	IDs     []uint64 // mounts
}

// want chooses the mounts that are asked about, and what is mounted on them.
func (n *Narrow) want() func(ns *mounts.Namespace, m *mounts.Mount) bool {
	var of *mounts.Namespace
	asked := map[uint64]bool{} // in of
	return func(ns *mounts.Namespace, m *mounts.Mount) bool {
		if ns != of {
			of = ns
			clear(asked)
			for i := range ns.Mounts {
				if n.wants(&ns.Mounts[i]) {
					asked[ns.Mounts[i].UniqueID] = true
				}
			}
		}
		return asked[m.UniqueID] || asked[m.UniqueParent]
	}
}

// keep leaves out the namespaces that have none of them, but not those in which
// another one is bound: that may be what keeps it.
func (n *Narrow) keep(all []mounts.Namespace) []mounts.Namespace {
	return slices.DeleteFunc(all, func(ns mounts.Namespace) bool {
		return !slices.ContainsFunc(ns.Mounts, func(m mounts.Mount) bool {
			_, bound := mounts.BoundNamespace(&m)
			return bound || n.wants(&m)
		})
	})
}

func (n *Narrow) wants(m *mounts.Mount) bool {
	return slices.Contains(n.Devices, deviceName(m.Major, m.Minor)) || slices.Contains(n.IDs, m.UniqueID) || slices.Contains(n.IDs, uint64(m.ID))
}

func deviceName(major, minor uint32) string {
	return strconv.FormatUint(uint64(major), 10) + ":" + strconv.FormatUint(uint64(minor), 10)
}

// mountTables reads the mounts of all namespaces and what keeps those.
func (l *looker) mountTables(ctx context.Context) {
	if !l.wants(snapshot.MountTables, snapshot.References) {
		return
	}
	var table *snapshot.Mounts
	var lacks []mounts.Unknown
	var err error
	if door.Unrecorded(l.Door) {
		table, lacks, err = l.readMounts(ctx)
	} else {
		table, lacks, err = l.keptMounts(ctx)
	}
	if err != nil {
		l.missing(snapshot.MountTables, "the mounts of all mount namespaces", cause(err))
		return
	}
	for _, u := range lacks {
		l.lackOf(snapshot.MountTables, u.What, u.Why)
	}
	table.Most = l.quietNumber("/proc/sys/fs/mount-max")
	l.h.Mounts = table
	if !l.leaveForeign(table) {
		l.inFlight(table)
	}
	l.dockerLayers(table)
	l.blocks(table)
	l.references(ctx, table)
}

// keptMounts is readMounts in a form that a recording keeps.
func (l *looker) keptMounts(ctx context.Context) (*snapshot.Mounts, []mounts.Unknown, error) {
	type kept struct {
		Mounts *snapshot.Mounts
		Lacks  []mounts.Unknown
	}
	var k kept
	text, err := l.Ask("mounts", func() ([]byte, error) {
		var err error
		if k.Mounts, k.Lacks, err = l.readMounts(ctx); err != nil {
			return nil, err
		}
		return json.Marshal(k)
	})
	if err != nil {
		return nil, nil, err
	}
	k = kept{}
	if err := json.Unmarshal(text, &k); err != nil || k.Mounts == nil {
		return nil, nil, fmt.Errorf("the mounts in the recording: %w", err)
	}
	return k.Mounts, k.Lacks, nil
}

// readMounts takes the census of a live host.
func (l *looker) readMounts(ctx context.Context) (*snapshot.Mounts, []mounts.Unknown, error) {
	req := census.Request{Proc: l.Proc, Want: census.Everything}
	if l.Narrow != nil {
		req.Passes = 1
		req.Want = l.Narrow.want()
	}
	c, err := census.Read(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	if l.Narrow != nil {
		c.Namespaces = l.Narrow.keep(c.Namespaces)
	}
	var lacks []mounts.Unknown
	for _, u := range c.Unknown {
		lacks = append(lacks, mounts.Unknown(u))
	}
	pins, unknown, err := holders.Pins(ctx, holders.PinRequest{Proc: l.Proc, Spaces: c.Namespaces})
	if err != nil {
		return nil, nil, err
	}
	return convert(c, pins), append(lacks, unknown...), nil
}

// convert puts a census into the words of a snapshot.
func convert(c *census.Census, pins map[uint64][]holders.Pin) *snapshot.Mounts {
	out := &snapshot.Mounts{Way: string(c.Way), Why: c.Why, Blind: c.Blind, Settled: c.Settled}
	type device struct{ major, minor uint32 }
	names := map[device]string{}
	for i := range c.Namespaces {
		from := &c.Namespaces[i]
		ns := snapshot.MountNamespace{Inode: from.Inode, ID: from.ID, Owner: from.Owner, Mounts: make([]snapshot.Mount, len(from.Mounts))}
		for k := range from.Mounts {
			m := &from.Mounts[k]
			d := device{m.Major, m.Minor}
			name, ok := names[d]
			if !ok {
				name = deviceName(m.Major, m.Minor)
				names[d] = name
			}
			to := &ns.Mounts[k]
			*to = snapshot.Mount{ID: m.UniqueID, Parent: m.UniqueParent, OldID: m.ID, Shared: uint64(m.Shared), Master: uint64(m.Master), Unbindable: m.Unbindable,
				Device: name, Root: m.Root, Point: m.MountPoint, Type: m.Type, Source: m.Source, Super: m.Super}
			if to.ID == 0 {
				to.ID, to.Parent = uint64(m.ID), uint64(m.Parent)
			}
		}
		for _, p := range pins[from.Inode] {
			ns.Pins = append(ns.Pins, snapshot.Pin{Kind: string(p.Kind), PID: p.PID, TID: p.TID, FD: p.FD, Path: p.Mount.MountPoint, Namespace: p.Namespace})
		}
		out.Namespaces = append(out.Namespaces, ns)
	}
	return out
}

// quietNumber is a setting that a kernel may not have.
func (l *looker) quietNumber(path string) int {
	n, err := strconv.Atoi(l.text(path))
	if err != nil {
		return 0
	}
	return n
}

// leaveForeign leaves out the namespaces that nothing seems to keep, where this
// /proc is that of a PID namespace: the kernel lists the mount namespaces of the
// whole host, and their processes may be outside.
func (l *looker) leaveForeign(table *snapshot.Mounts) bool {
	const first = "pid:[4026531836]" // Linux 6.12 include/linux/proc_ns.h, PROC_PID_INIT_INO
	link, err := l.ReadLink("/proc/self/ns/pid")
	if err != nil || string(link) == first {
		return false
	}
	table.Namespaces = slices.DeleteFunc(table.Namespaces, func(ns snapshot.MountNamespace) bool { return len(ns.Pins) == 0 })
	return true
}
