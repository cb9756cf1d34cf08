package collect

import (
	"cmp"
	"slices"

	"sexton.dev/linux/mounts"
)

// A run is device numbers of one major number, one after the other.
type run struct{ Major, First, Last uint32 }

// runs are a set of device numbers, sorted. File systems without a device have numbers
// one after the other, so that those of a host with 100,000 mounts are few runs.
type runs []run

// listed are the devices of all mounts, none if they are over mostListed runs.
func listed(all []mounts.Device) runs {
	if out := runsOf(all); len(out) <= mostListed {
		return out
	}
	return nil
}

func runsOf(all []mounts.Device) (out runs) {
	slices.SortFunc(all, func(a, b mounts.Device) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
	})
	for _, d := range all {
		if i := len(out) - 1; i >= 0 && out[i].Major == d.Major && d.Minor-out[i].Last <= 1 {
			out[i].Last = d.Minor
			continue
		}
		out = append(out, run{d.Major, d.Minor, d.Minor})
	}
	return out
}

func (r runs) has(d mounts.Device) bool {
	_, found := slices.BinarySearchFunc(r, d, func(x run, d mounts.Device) int {
		switch {
		case x.Major != d.Major:
			return cmp.Compare(x.Major, d.Major)
		case x.Last < d.Minor:
			return -1
		case x.First > d.Minor:
			return 1
		}
		return 0
	})
	return found
}
