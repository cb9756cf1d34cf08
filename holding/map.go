package holding

import (
	"iter"
	"slices"

	"sexton.dev/snapshot"
)

// A Map finds mounts by their superblock and tells whose mount namespaces are whose.
type Map struct {
	h       *snapshot.Host
	on      map[string][]spot                     // the mounts of a superblock, in the order of the tables
	owners  map[string][]*snapshot.MountNamespace // of what stands on a superblock
	number  map[*snapshot.MountNamespace]int32    // its place in the list
	masters map[uint64]uint64                     // of a peer group: the one that it receives from
	lives   []resident                            // in each namespace
	shapes  map[string]Shape                      // by mount point
}

// A spot is a mount by its numbers in the tables: small, for there are many.
type spot struct{ space, mount int32 }

// MapOf indexes the mounts of a look, which must have them, once.
func MapOf(h *snapshot.Host) *Map { return snapshot.Derived(h, newMap) }

func newMap(h *snapshot.Host) *Map {
	m := &Map{h: h, on: map[string][]spot{}, owners: map[string][]*snapshot.MountNamespace{},
		number: map[*snapshot.MountNamespace]int32{}, masters: map[uint64]uint64{}, shapes: map[string]Shape{}}
	if h.Mounts == nil {
		return m
	}
	for i := range h.Mounts.Namespaces {
		ns := &h.Mounts.Namespaces[i]
		m.number[ns] = int32(i)
		for k := range ns.Mounts {
			mount := &ns.Mounts[k]
			m.on[mount.Device] = append(m.on[mount.Device], spot{int32(i), int32(k)})
			if mount.Shared != 0 {
				m.masters[mount.Shared] = mount.Master
			}
			if _, known := m.shapes[mount.Point]; !known {
				m.shapes[mount.Point] = shapeAt(mount.Point)
			}
		}
	}
	m.lives = residents(h)
	for device, spots := range m.on {
		m.owners[device] = m.ownersOf(spots)
	}
	return m
}

// in is the mount that a spot means.
func (s spot) in(h *snapshot.Host) Place {
	ns := &h.Mounts.Namespaces[s.space]
	return Place{ns, &ns.Mounts[s.mount]}
}

// Places are the mounts of a superblock, in the order of the tables.
func (m *Map) Places(device string) iter.Seq[Place] {
	return func(yield func(Place) bool) {
		for _, s := range m.on[device] {
			if !yield(s.in(m.h)) {
				return
			}
		}
	}
}

// OnDevice is every mount of a superblock or block device.
func (m *Map) OnDevice(device string) Target {
	all := slices.Grow([]Place(nil), len(m.on[device]))
	return Target{Word: device, Devices: []string{device}, Mounts: slices.AppendSeq(all, m.Places(device))}
}

// Owned reports whether a namespace mounts a device in which its owner would: one that
// owns what is below a mount of it. A mount without a parent is a root.
func (m *Map) Owned(device string) bool {
	for p := range m.Places(device) {
		base := m.Base(p.Mount)
		if base == "" || base == device {
			return true // the root of a namespace: a system runs on it
		}
		if slices.ContainsFunc(m.Owners(base), func(o *snapshot.MountNamespace) bool { return m.Has(o, device) }) {
			return true
		}
	}
	return false
}

// within are the mounts of a superblock in one namespace.
func (m *Map) within(ns *snapshot.MountNamespace, device string) []spot {
	n, known := m.number[ns]
	all := m.on[device]
	if !known {
		return nil
	}
	first, _ := slices.BinarySearchFunc(all, n, func(s spot, n int32) int { return int(s.space - n) })
	last := first
	for last < len(all) && all[last].space == n {
		last++
	}
	return all[first:last]
}

// Mounted reports whether any namespace has a superblock mounted.
func (m *Map) Mounted(device string) bool { return len(m.on[device]) > 0 }

// Has reports whether a namespace has a superblock mounted.
func (m *Map) Has(ns *snapshot.MountNamespace, device string) bool {
	return len(m.within(ns, device)) > 0
}

// Base is the superblock that a mount's mount point is on, "" if its parent is not listed.
func (m *Map) Base(mount *snapshot.Mount) string {
	if p := m.h.Mount(mount.Parent); p != nil {
		return p.Device
	}
	return ""
}

// Parent is what a mount is mounted on, nil if that is not listed.
func (m *Map) Parent(mount *snapshot.Mount) *snapshot.Mount {
	if p := m.h.Mount(mount.Parent); p != mount {
		return p
	}
	return nil
}

// In is the namespace that a mount is in.
func (m *Map) In(mount *snapshot.Mount) *snapshot.MountNamespace {
	for p := range m.Places(mount.Device) {
		if p.Mount == mount {
			return p.Namespace
		}
	}
	return nil
}
