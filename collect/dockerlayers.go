package collect

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"sexton.dev/snapshot"
)

var hexID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// A layerStore is where a storage driver of docker keeps its layers.
type layerStore struct{ root, driver string }

// drivers have the layers' mount points in a folder of theirs, or right in the root.
var drivers = map[string]string{"overlay": "", "overlay2": "", "fuse-overlayfs": "", "aufs": "mnt", "btrfs": "subvolumes", "vfs": "dir", "devicemapper": "mnt"}

// storeOf is the store that a mount point is in: ROOT/DRIVER[/FOLDER]/ID[/merged].
// A host can have a million mounts, so nothing is matched but what ends with an id.
func storeOf(point string) (s layerStore, ok bool) {
	dir, id := path.Split(strings.TrimSuffix(point, "/merged"))
	if len(id) != 64 || !hexID.MatchString(id) {
		return s, false
	}
	dir, folder := path.Split(strings.TrimSuffix(dir, "/"))
	if in, is := drivers[folder]; is && in == "" {
		return layerStore{strings.TrimSuffix(dir, "/"), folder}, true
	}
	dir, driver := path.Split(strings.TrimSuffix(dir, "/"))
	in, is := drivers[driver]
	return layerStore{strings.TrimSuffix(dir, "/"), driver}, is && in == folder && in != ""
}

// dockerLayers finds which layer is whose: docker gives the layers of a container
// an id of their own and tells it to nobody, but keeps it in a file. Only the
// layers that are mounted somewhere are looked for, below the roots they are in.
//
// Source: moby v28 layer/filestore.go, GetMountID.
func (l *looker) dockerLayers(table *snapshot.Mounts) {
	if !slices.ContainsFunc(l.h.Containers, unplaced) {
		return
	}
	var stores []layerStore
	for i := range table.Namespaces {
		for k := range table.Namespaces[i].Mounts {
			const most = 16
			if s, ok := storeOf(table.Namespaces[i].Mounts[k].Point); ok && !slices.Contains(stores, s) && len(stores) < most {
				stores = append(stores, s)
			}
		}
	}
	for _, s := range stores {
		dir := s.root + "/image/" + s.driver + "/layerdb/mounts"
		for i := range l.h.Containers {
			c := &l.h.Containers[i]
			if !unplaced(*c) {
				continue
			}
			if layer := strings.TrimSpace(l.text(dir + "/" + c.ID + "/mount-id")); hexID.MatchString(layer) {
				c.RootFS = s.root + "/" + s.driver + "/" + layer + "/merged"
			}
		}
	}
}

// unplaced reports whether it is not known yet where a container's layer is.
func unplaced(c snapshot.Container) bool { return c.RootFS == "" && hexID.MatchString(c.ID) }
