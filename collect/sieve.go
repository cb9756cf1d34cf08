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
	devices []numbers
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

// numbersOfAll are those of the names that are of devices.
func numbersOfAll(names []string) (out []numbers) {
	for _, name := range names {
		if n, ok := numbersOf(name); ok {
			out = append(out, n)
		}
	}
	return out
}

func newSieve(q *refQuestion) *sieve {
	return &sieve{narrow: q.Narrow, layers: findLayers(q.Proc, q.Layers), devices: numbersOfAll(q.Devices), listed: q.Listed,
		mounts: slices.Sorted(slices.Values(q.Mounts))}
}

// suspect reports whether a file with this device may be in a detached overlay
// that is asked about.
func (s *sieve) suspect(major, minor uint32) bool {
	return len(s.layers) > 0 && !s.listed.has(major, minor)
}

// asked reports whether a reference is to a mount or superblock that is asked about.
// Of a file that is registered with an io_uring only the path is known.
func (s *sieve) asked(r *holders.Ref) bool {
	if !s.narrow || r.Kind == holders.IOURing || slices.Contains(s.devices, numbers{r.Major, r.Minor}) {
		return true
	}
	_, is := slices.BinarySearch(s.mounts, r.MountID)
	return is
}

func (s *sieve) wants(r *holders.Ref) bool { return s.asked(r) || s.suspect(r.Major, r.Minor) }

func (s *sieve) superblock(major, minor uint32) bool {
	return slices.Contains(s.devices, numbers{major, minor}) || s.suspect(major, minor)
}
