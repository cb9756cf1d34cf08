package collect

import (
	"slices"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
)

// A sieve keeps the references that a question is about, by numbers before any
// text is read.
type sieve struct {
	narrow  bool
	proc    string
	layers  layers
	devices []mounts.Device
	listed  runs
	mounts  []uint64 // sorted

	last struct { // most files of a process are on one device
		device        mounts.Device
		known, listed bool
	}
}

// devicesOf are the devices that names are of.
func devicesOf(names []string) (out []mounts.Device) {
	for _, name := range names {
		if d, ok := mounts.ParseDevice(name); ok {
			out = append(out, d)
		}
	}
	return out
}

func newSieve(q *refQuestion) *sieve {
	return &sieve{narrow: q.Narrow, proc: q.Proc, layers: findLayers(q.Proc, q.Layers), devices: devicesOf(q.Devices), listed: q.Listed,
		mounts: slices.Sorted(slices.Values(q.Mounts))}
}

// suspect reports whether a file with this device may be in a detached overlay
// that is asked about.
func (s *sieve) suspect(d mounts.Device) bool {
	if len(s.layers) == 0 {
		return false
	}
	if last := &s.last; !last.known || last.device != d {
		last.device, last.known, last.listed = d, true, s.listed.has(d)
	}
	return !s.last.listed
}

// asked reports whether a reference is to a mount or superblock that is asked about.
// Of a file that is registered with an io_uring only the path is known.
func (s *sieve) asked(r *holders.Ref) bool {
	if !s.narrow || r.Kind == holders.IOURing || slices.Contains(s.devices, r.Device) {
		return true
	}
	_, is := slices.BinarySearch(s.mounts, r.MountID)
	return is
}

func (s *sieve) wants(r *holders.Ref) bool { return s.asked(r) || s.suspect(r.Device) }

func (s *sieve) superblock(d mounts.Device) bool {
	return slices.Contains(s.devices, d) || s.suspect(d)
}
