package holding

import (
	"slices"

	"sexton.dev/snapshot"
)

// inMemory are the file systems whose contents are nowhere but in memory.
var inMemory = []string{"tmpfs", "ramfs", "hugetlbfs"}

// OnlyInMemory reports whether what is on a mount goes for good with the last mount
// of its superblock. Of a place that is a container's or a pod's nothing is lost that
// was not given up: its shared memory, its secrets, what is mounted in its root file
// system. Others may have been mounted there by whoever has them, and hold anything.
func (m *Map) OnlyInMemory(mount *snapshot.Mount) bool {
	if !slices.Contains(inMemory, mount.Type) {
		return false
	}
	const deepest = 100
	for n := 0; mount != nil && n < deepest; n++ {
		if s := m.Shape(mount); s.Container != "" || s.PodUID != "" {
			return false
		}
		mount = m.Parent(mount)
	}
	return true
}

// Perishes is the first mount of those that go with which a file system that is only
// in memory has its last one; nil if there is none. Those of also will go as well.
func (m *Map) Perishes(goes []Loss, also []Place) *snapshot.Mount {
	going := map[uint64]bool{}
	for _, l := range goes {
		going[l.Mount.ID] = true
	}
	for _, p := range also {
		going[p.Mount.ID] = true
	}
	for _, l := range goes {
		if !m.OnlyInMemory(l.Mount) {
			continue
		}
		last := true
		for p := range m.Places(l.Mount.Device) {
			last = last && going[p.Mount.ID]
		}
		if last {
			return l.Mount
		}
	}
	return nil
}
