package collect

import (
	"cmp"
	"maps"
	"slices"

	"sexton.dev/snapshot"
)

// A run is device numbers of one major number, one after the other.
type run struct{ Major, First, Last uint32 }

// runs are a set of device numbers, sorted. File systems without a device have numbers
// one after the other, so that those of a host with 100,000 mounts are few runs.
type runs []run

// listed are the devices of all mounts, none if they are over mostListed runs.
func listed(table *snapshot.Mounts) runs {
	seen := map[string]bool{}
	for i := range table.Namespaces {
		for k := range table.Namespaces[i].Mounts {
			seen[table.Namespaces[i].Mounts[k].Device] = true
		}
	}
	if out := runsOf(numbersOfAll(slices.Collect(maps.Keys(seen)))); len(out) <= mostListed {
		return out
	}
	return nil
}

func runsOf(all []numbers) (out runs) {
	slices.SortFunc(all, func(a, b numbers) int { return cmp.Or(cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor)) })
	for _, n := range all {
		if i := len(out) - 1; i >= 0 && out[i].Major == n.major && n.minor-out[i].Last <= 1 {
			out[i].Last = n.minor
			continue
		}
		out = append(out, run{n.major, n.minor, n.minor})
	}
	return out
}

func (r runs) has(major, minor uint32) bool {
	_, found := slices.BinarySearchFunc(r, numbers{major, minor}, func(x run, n numbers) int {
		switch {
		case x.Major != n.major:
			return cmp.Compare(x.Major, n.major)
		case x.Last < n.minor:
			return -1
		case x.First > n.minor:
			return 1
		}
		return 0
	})
	return found
}
