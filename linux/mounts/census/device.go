package census

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// An overlay is a mount that stays only if it stands on what Device chooses.
type overlay struct {
	id           uint64
	major, minor uint32
}

// ofDevice returns what Device leaves of the mounts of one namespace, without the
// overlays that stand on it.
func (r *Request) ofDevice(all []mounts.Mount) (kept []mounts.Mount) {
	var chosen []int // old ids: a mount and what is on it are in one namespace
	for i := range all {
		if r.Device(all[i].Major, all[i].Minor) {
			chosen = append(chosen, all[i].ID)
		}
	}
	for i := range all {
		_, binds := mounts.BoundNamespace(&all[i])
		if binds || len(chosen) > 0 && (slices.Contains(chosen, all[i].ID) || slices.Contains(chosen, all[i].Parent)) {
			kept = append(kept, all[i])
		}
	}
	return kept
}

// points are where the chosen superblocks are mounted, in any namespace: who made
// an overlay named its layers as one of them has them.
func (r *Request) points(spaces []mounts.Namespace) []string {
	var out []string
	for i := range spaces {
		for k := range spaces[i].Mounts {
			m := &spaces[i].Mounts[k]
			if m.MountPoint != "" && r.Device(m.Major, m.Minor) && !slices.Contains(out, m.MountPoint) {
				out = append(out, m.MountPoint)
			}
		}
	}
	return out
}

// standsOn reports whether a layer of an overlay has a path at or below a mount
// point. It may be on another file system that is mounted further down.
func standsOn(m *mounts.Mount, points []string) bool {
	for _, dir := range mounts.Directories(m.Type, m.Super, "lowerdir", "upperdir", "workdir") {
		for _, p := range points {
			if dir == p || strings.HasPrefix(dir, strings.TrimSuffix(p, "/")+"/") {
				return true
			}
		}
	}
	return false
}

// addOverlays puts back the overlays that stand on a chosen superblock. Their
// options are read once for each superblock.
func (r *fastReader) addOverlays(ctx context.Context, spaces []mounts.Namespace) error {
	points := r.req.points(spaces)
	if len(points) == 0 {
		return nil
	}
	type device struct{ major, minor uint32 }
	stands := map[device]bool{}
	for i := range spaces {
		for _, o := range r.overlays[i] {
			d := device{o.major, o.minor}
			on, known := stands[d]
			if known && !on || slices.ContainsFunc(spaces[i].Mounts, func(m mounts.Mount) bool { return m.UniqueID == o.id }) {
				continue
			}
			var m mounts.Mount
			_, err := r.whole(spaces[i].ID, o.id, &m)
			if errors.Is(err, unix.ENOENT) {
				continue // it is gone; the next one of its superblock is asked
			}
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			if stands[d] = standsOn(&m, points); stands[d] {
				spaces[i].Mounts = append(spaces[i].Mounts, m)
			}
		}
	}
	return nil
}
