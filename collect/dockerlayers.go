package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"sexton.dev/linux/cgroupfs"
	"sexton.dev/snapshot"
)

// A layerStore is where a storage driver of docker keeps its layers.
type layerStore struct{ root, driver string }

// drivers have the layers' mount points in a folder of theirs, or right in the root.
var drivers = map[string]string{"overlay": "", "overlay2": "", "fuse-overlayfs": "", "aufs": "mnt", "btrfs": "subvolumes", "vfs": "dir", "devicemapper": "mnt"}

// storeOf is the store that a mount point is in: ROOT/DRIVER[/FOLDER]/ID[/merged].
// A host can have a million mounts, so nothing is matched but what ends with an id.
func storeOf(point string) (s layerStore, ok bool) {
	dir, id := path.Split(strings.TrimSuffix(point, "/merged"))
	if !cgroupfs.IsID(id) {
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
// an id of their own and tells it to nobody, but keeps it in a file. Only stores
// that are mounted somewhere are looked into, by a child: their disk may hang.
//
// Source: moby v28 layer/filestore.go, GetMountID.
func (l *looker) dockerLayers(ctx context.Context, table *snapshot.Mounts) {
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
		dir := path.Join(l.Root, s.root, "image", s.driver, "layerdb/mounts")
		text, err := l.Ask("docker-layers/"+s.driver+s.root, func() ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, layersWithin)
			defer cancel()
			return l.Child(ctx, "docker-layers", dir)
		})
		l.unread(snapshot.Names, "whose layers those of docker in "+s.root+" are", err)
		for line := range strings.Lines(string(text)) {
			id, layer, _ := strings.Cut(strings.TrimSpace(line), " ")
			if c := l.h.Container(id); c != nil && unplaced(*c) && cgroupfs.IsID(layer) {
				c.RootFS = s.root + "/" + s.driver + "/" + layer + "/merged"
			}
		}
	}
}

const (
	layersWithin = 2 * time.Second // for the files of one store
	mostLayers   = 1 << 16
)

// childLayers prints each container of a store and its layer, one line each.
func childLayers(out io.Writer, dir string) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) { // podman keeps them elsewhere
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(mostLayers)
	if err != nil && err != io.EOF {
		return err
	}
	for _, name := range names {
		layer, err := readSome(path.Join(dir, name, "mount-id"), 80)
		if err != nil || !cgroupfs.IsID(name) {
			continue // it is being made or removed
		}
		if _, err := fmt.Fprintf(out, "%s %s\n", name, bytes.TrimSpace(layer)); err != nil {
			return err
		}
	}
	return nil
}

// unplaced reports whether it is not known yet where a container's layer is.
func unplaced(c snapshot.Container) bool { return c.RootFS == "" && cgroupfs.IsID(c.ID) }
