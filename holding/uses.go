package holding

import (
	"cmp"
	"slices"

	"sexton.dev/snapshot"
)

// What holders are looked for in, each index made once a look, by whoever asks first.

// children are the mounts on each mount, by its id, in the order of the tables.
type children map[uint64][]spot

func childrenOf(h *snapshot.Host) children {
	return snapshot.Derived(h, func(h *snapshot.Host) children {
		out := children{}
		for i := range h.Mounts.Namespaces {
			all := h.Mounts.Namespaces[i].Mounts
			for k := 0; k < len(all); {
				parent := all[k].Parent
				on := out[parent]
				for ; k < len(all) && all[k].Parent == parent; k++ { // most stand on few
					if all[k].ID != parent {
						on = append(on, spot{int32(i), int32(k)})
					}
				}
				out[parent] = on
			}
		}
		return out
	})
}

// An overlay is a superblock, or what one look saw of it: the directories that it
// stands on, and its mounts.
type overlay struct {
	dirs   []string
	mounts []spot
}

func overlaysOf(h *snapshot.Host) []overlay {
	return snapshot.Derived(h, func(h *snapshot.Host) []overlay {
		type super struct{ device, options string }
		var out []overlay
		at := map[super]int{}
		for i := range h.Mounts.Namespaces {
			for k := range h.Mounts.Namespaces[i].Mounts {
				m := &h.Mounts.Namespaces[i].Mounts[k]
				if m.Type != "overlay" {
					continue
				}
				n, known := at[super{m.Device, m.Super}]
				if !known {
					n = len(out)
					at[super{m.Device, m.Super}] = n
					out = append(out, overlay{dirs: Directories(m, "lowerdir", "upperdir", "workdir")})
				}
				out[n].mounts = append(out[n].mounts, spot{int32(i), int32(k)})
			}
		}
		return out
	})
}

// references are what processes hold, by their numbers in the list.
type references struct {
	on    map[uint64][]int // by the mount, as the reference has it
	loose []int            // those of no mount that is listed, or of more than their mount
}

func referencesOf(h *snapshot.Host) references {
	return snapshot.Derived(h, func(h *snapshot.Host) references {
		out := references{on: map[uint64][]int{}}
		for i := range h.Mounts.References {
			r := &h.Mounts.References[i]
			if r.Layer != "" || r.Kind == "iouring" || h.Mount(r.Mount) == nil {
				out.loose = append(out.loose, i)
			} else {
				out.on[r.Mount] = append(out.on[r.Mount], i)
			}
		}
		return out
	})
}

// inOrder sorts mounts as the tables have them, each once.
func inOrder(all []spot) []spot {
	slices.SortFunc(all, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.space, b.space), cmp.Compare(a.mount, b.mount))
	})
	return slices.Compact(all)
}
