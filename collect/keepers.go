package collect

import (
	"context"
	"fmt"
	"slices"

	"sexton.dev/linux/bpfiter"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/snapshot"
)

const (
	// fewProcesses are looked at sooner than the program is loaded that tells which need not be:
	// that takes 6 ms and 10 µs a process, which else take 55 each.
	fewProcesses = 200
	// mostKeepers are named in a question, which the kernel takes 128 KiB of.
	mostKeepers = 2000
)

// readKept reads references, of those processes alone that may have one, where the kernel tells
// which they are and there are more than few.
func (l *looker) readKept(ctx context.Context, table *snapshot.Mounts, q refQuestion, few uint64) ([]byte, error) {
	if q.Narrow {
		pids, err := keepersOf(ctx, table, l.devices, q, few)
		switch {
		case err != nil: // it is only a faster way: all are looked at
		case len(pids) == 0:
			return nil, nil
		default:
			q.PIDs = pids
		}
	}
	return readReferences(ctx, l.Child, q)
}

// keepersOf asks the kernel for the processes of which a narrow question wants a reference. It
// may name others too, and leaves out none. An error says why it cannot tell.
//
// What the child finds by the device that statx tells is found here by that of the
// superblock, which mount tables have. They are one, but on btrfs, overlays and ceph, where a file
// may have a device that no superblock has. So each device that is asked about must be one's.
// A reference to a mount of the tables is one to its superblock. And
// what is in a detached overlay is on a superblock that is in no table.
func keepersOf(ctx context.Context, table *snapshot.Mounts, listed []mounts.Device, q refQuestion, few uint64) ([]int, error) {
	if err := holders.Numbered(q.Proc, few); err != nil {
		return nil, err
	}
	devices, err := q.superblocks(table)
	if err != nil {
		return nil, err
	}
	ask := bpfiter.Question{Devices: convertDevices(devices), Most: mostKeepers}
	if len(q.Layers) > 0 {
		ask.Unlisted = convertDevices(listed)
	}
	keepers, err := bpfiter.Keepers(ctx, ask)
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(keepers))
	met := slices.Clip(listed) // its own to append to
	for _, k := range keepers {
		met = append(met, mounts.Device(k.Device))
		pids = append(pids, k.PID)
	}
	for _, d := range devices {
		if d.Major == 0 && !slices.Contains(met, d) && !mounted(table, d) {
			return nil, fmt.Errorf("%v is of no superblock that was met, and may be that of files on another", d)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// superblocks are the devices of a question and those of its mounts, each once.
func (q *refQuestion) superblocks(table *snapshot.Mounts) ([]mounts.Device, error) {
	left := make(map[uint64]bool, len(q.Mounts))
	for _, id := range q.Mounts {
		left[id] = true
	}
	names := slices.Clone(q.Devices)
	for i := range table.Namespaces {
		for k := range table.Namespaces[i].Mounts {
			if m := &table.Namespaces[i].Mounts[k]; left[m.ID] {
				delete(left, m.ID)
				names = append(names, m.Device)
			}
		}
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("%d mounts are in no table", len(left))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	devices := devicesOf(names)
	if len(devices) != len(names) {
		return nil, fmt.Errorf("not all are devices: %q", names)
	}
	return devices, nil
}

// mounted reports whether a mount of the tables is of this superblock.
func mounted(table *snapshot.Mounts, d mounts.Device) bool {
	name := d.String()
	return slices.ContainsFunc(table.Namespaces, func(ns snapshot.MountNamespace) bool {
		return slices.ContainsFunc(ns.Mounts, func(m snapshot.Mount) bool { return m.Device == name })
	})
}

func convertDevices(all []mounts.Device) []bpfiter.Device {
	out := make([]bpfiter.Device, len(all))
	for i, d := range all {
		out[i] = bpfiter.Device(d)
	}
	return out
}
