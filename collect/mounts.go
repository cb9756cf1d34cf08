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

// mountTables reads the mounts of all namespaces and what keeps those.
func (l *looker) mountTables(ctx context.Context) {
	if !l.wants(snapshot.MountTables, snapshot.References) {
		return
	}
	var stand snapshot.Mounts
	l.blocks(&stand)
	var table *snapshot.Mounts
	var lacks []mounts.Unknown
	var err error
	if door.Unrecorded(l.Door) {
		table, lacks, err = l.readMounts(ctx, &stand)
	} else {
		table, lacks, err = l.keptMounts(ctx, &stand)
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
	table.Blocks, table.Swaps = stand.Blocks, stand.Swaps
	l.about = l.asked()
	if l.Narrow != nil && door.Unrecorded(l.Door) {
		l.narrowPins(ctx, table, l.about)
	}
	if l.h.Nested { // the kernel may list the mount namespaces of the whole host, whose processes are outside
		table.Namespaces = slices.DeleteFunc(table.Namespaces, func(ns snapshot.MountNamespace) bool { return len(ns.Pins) == 0 })
	}
	l.dockerLayers(ctx, table)
	l.references(ctx, table, l.about)
}

// keptMounts is readMounts in a form that a recording keeps.
func (l *looker) keptMounts(ctx context.Context, stand *snapshot.Mounts) (*snapshot.Mounts, []mounts.Unknown, error) {
	type kept struct {
		Mounts *snapshot.Mounts
		Lacks  []mounts.Unknown
	}
	var k kept
	text, err := l.Ask("mounts", func() ([]byte, error) {
		var err error
		if k.Mounts, k.Lacks, err = l.readMounts(ctx, stand); err != nil {
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

// readMounts takes the census of a live host, whose block devices are known. Where the
// question is narrow, what keeps the namespaces is read later, when it is known which
// are asked about.
func (l *looker) readMounts(ctx context.Context, stand *snapshot.Mounts) (*snapshot.Mounts, []mounts.Unknown, error) {
	c, err := census.Read(ctx, l.request(stand))
	if err != nil {
		return nil, nil, err
	}
	if l.Narrow != nil {
		l.spaces, l.devices = slices.Clone(c.Namespaces), c.Devices // convert empties those
		return convert(c, nil), c.Unknown, nil
	}
	pins, unknown, err := holders.Pins(ctx, holders.PinRequest{Proc: l.Proc, Spaces: c.Namespaces, InFlight: !l.h.Nested})
	if err != nil {
		return nil, nil, err
	}
	return convert(c, pins), append(c.Unknown, unknown...), nil
}

// convert puts a census into the words of a snapshot. What is there is taken out
// of the census, for a host can have a million mounts.
func convert(c *census.Census, pins map[uint64][]holders.Pin) *snapshot.Mounts {
	out := &snapshot.Mounts{Way: string(c.Way), BPF: c.BPF, NoBPF: c.NoBPF, Why: c.Why, Blind: c.Blind, Settled: c.Settled}
	names := map[mounts.Device]string{}
	for i := range c.Namespaces {
		from := &c.Namespaces[i]
		ns := snapshot.MountNamespace{Inode: from.Inode, ID: from.ID, Owner: from.Owner, Mounts: make([]snapshot.Mount, len(from.Mounts))}
		for k := range from.Mounts {
			m := &from.Mounts[k]
			name, ok := names[m.Device()]
			if !ok {
				name = m.Device().String()
				names[m.Device()] = name
			}
			ns.Mounts[k] = mountOf(m, name)
		}
		from.Mounts = nil
		ns.Pins = convertPins(pins[from.Inode])
		out.Namespaces = append(out.Namespaces, ns)
	}
	return out
}

func mountOf(m *mounts.Mount, device string) snapshot.Mount {
	to := snapshot.Mount{ID: m.UniqueID, Parent: m.UniqueParent, OldID: m.ID, Shared: uint64(m.Shared), Master: uint64(m.Master), Unbindable: m.Unbindable,
		Device: device, Root: m.Root, Point: m.MountPoint, Type: m.Type, Source: m.Source, Super: m.Super}
	if to.ID == 0 {
		to.ID, to.Parent = uint64(m.ID), uint64(m.Parent)
	}
	return to
}

func convertPins(pins []holders.Pin) (out []snapshot.Pin) {
	out = slices.Grow(out, len(pins))
	for _, p := range pins {
		out = append(out, snapshot.Pin{Kind: string(p.Kind), PID: p.PID, TID: p.TID, FD: p.FD, Path: p.Path, Namespace: p.Namespace})
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
