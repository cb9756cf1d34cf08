package collect

import (
	"regexp"
	"slices"
	"strings"

	"sexton.dev/snapshot"
)

var (
	dockerLayer = regexp.MustCompile(`^(.*)/(overlay2?|fuse-overlayfs|aufs|btrfs|vfs|devicemapper)/(?:mnt/|subvolumes/|dir/)?[0-9a-f]{64}(?:/merged)?$`)
	hexID       = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// dockerLayers finds which layer is whose: docker gives the layers of a container
// an id of their own and tells it to nobody, but keeps it in a file. Only the
// layers that are mounted somewhere are looked for, below the roots they are in.
//
// Source: moby v28 layer/filestore.go, GetMountID.
func (l *looker) dockerLayers(table *snapshot.Mounts) {
	type store struct{ root, driver string }
	var stores []store
	for i := range table.Namespaces {
		for k := range table.Namespaces[i].Mounts {
			found := dockerLayer.FindStringSubmatch(table.Namespaces[i].Mounts[k].Point)
			if found == nil {
				continue
			}
			const most = 16
			if s := (store{found[1], found[2]}); !slices.Contains(stores, s) && len(stores) < most {
				stores = append(stores, s)
			}
		}
	}
	for _, s := range stores {
		dir := s.root + "/image/" + s.driver + "/layerdb/mounts"
		for i := range l.h.Containers {
			c := &l.h.Containers[i]
			if c.RootFS != "" || !hexID.MatchString(c.ID) {
				continue
			}
			if layer := strings.TrimSpace(l.text(dir + "/" + c.ID + "/mount-id")); hexID.MatchString(layer) {
				c.RootFS = s.root + "/" + s.driver + "/" + layer + "/merged"
			}
		}
	}
}
