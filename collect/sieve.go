package collect

import (
	"slices"
	"strconv"
	"strings"

	"sexton.dev/linux/mounts/holders"
)

// A sieve keeps the references that a question is about, by numbers before any
// text is read.
type sieve struct {
	narrow  bool
	layers  layers
	devices map[numbers]bool
	listed  runs
	mounts  []uint64 // sorted
}

type numbers struct{ major, minor uint32 }

// numbersOf is the reverse of deviceName.
func numbersOf(name string) (n numbers, ok bool) {
	high, low, _ := strings.Cut(name, ":")
	major, err1 := strconv.ParseUint(high, 10, 32)
	minor, err2 := strconv.ParseUint(low, 10, 32)
	return numbers{uint32(major), uint32(minor)}, err1 == nil && err2 == nil
}

func newSieve(q *refQuestion) *sieve {
	s := &sieve{narrow: q.Narrow, layers: findLayers(q.Proc, q.Layers), devices: map[numbers]bool{}, listed: q.Listed}
	s.mounts = slices.Sorted(slices.Values(q.Mounts))
	for _, name := range q.Devices {
		if n, ok := numbersOf(name); ok {
			s.devices[n] = true
		}
	}
	return s
}

// suspect reports whether a file with this device may be in a detached overlay
// that is asked about.
func (s *sieve) suspect(major, minor uint32) bool {
	return len(s.layers) > 0 && !s.listed.has(major, minor)
}

// asked reports whether a reference is to a mount or superblock that is asked about.
// Of a file that is registered with an io_uring only the path is known.
func (s *sieve) asked(r *holders.Ref) bool {
	if !s.narrow || r.Kind == holders.IOURing || s.devices[numbers{r.Major, r.Minor}] {
		return true
	}
	_, is := slices.BinarySearch(s.mounts, r.MountID)
	return is
}

func (s *sieve) wants(r *holders.Ref) bool { return s.asked(r) || s.suspect(r.Major, r.Minor) }

func (s *sieve) superblock(major, minor uint32) bool {
	return s.devices[numbers{major, minor}] || s.suspect(major, minor)
}
