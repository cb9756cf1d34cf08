package errtext

import "strings"

// drivers are the graph and snapshot drivers, as their runtimes print them.
var drivers = []string{"overlay2", "overlayfs", "overlay", "aufs", "devicemapper", "devmapper", "btrfs", "zfs", "vfs", "fuse-overlayfs", "windowsfilter", "native", "stargz", "nydus", "soci", "blockfile", "erofs"}

// driverDirs are the directories of a graph driver in the data root of docker,
// where a snapshotter has its own below rootfs, and of podman ("overlay").
var driverDirs = []struct{ dir, driver string }{
	{"/overlay2/", "overlay2"}, {"/rootfs/overlayfs/", "overlayfs"}, {"/fuse-overlayfs/", "fuse-overlayfs"}, {"/overlay/", "overlay"}, {"/aufs/", "aufs"}, {"/devicemapper/", "devicemapper"},
	{"/btrfs/subvolumes/", "btrfs"}, {"/vfs/dir/", "vfs"}, {"/zfs/graph/", "zfs"}, {"/zfs-containers/", "zfs"},
}

// driverOf tells the graph or snapshot driver that a text names or shows in a
// path, and rbd for rbd volumes.
func driverOf(low, runtime string) string {
	for _, cue := range []string{"io.containerd.snapshotter.v1.", "snapshotter=", "snapshotter \"", "snapshotter: ", "driver \"", "driver=", "driver ", "storage-driver=", "fstype: "} {
		rest := low
		for range 4 {
			_, after, ok := strings.Cut(rest, cue)
			if !ok {
				break
			}
			after = strings.TrimLeft(after, `"'`)
			name := after[:leading(after, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' })]
			if contains(drivers, name) {
				return name
			}
			rest = after
		}
	}
	if runtime == "kernel" {
		return ""
	}
	for _, name := range []string{"overlay2", "overlay", "aufs"} { // failed to unmount ID overlay: text
		if before, _, ok := strings.Cut(low, " "+name+": "); ok && trailing(strings.TrimSuffix(before, "-init"), isHex) == 64 {
			return name
		}
	}
	for _, d := range driverDirs {
		if strings.Contains(low, d.dir) {
			return d.driver
		}
	}
	for _, root := range []string{"/docker", "/storage"} {
		for _, d := range driverDirs {
			if strings.Contains(low, root) && endsIn(low, root+strings.TrimSuffix(d.dir, "/")) {
				return d.driver
			}
		}
	}
	if _, ok := hasAny(low, "devmapper", "devicemapper"); ok {
		if runtime == "containerd" && !strings.Contains(low, "devicemapper") {
			return "devmapper"
		}
		return "devicemapper"
	}
	for _, w := range []struct {
		driver string
		words  []string
	}{
		{"fuse-overlayfs", []string{"fuse-overlayfs"}},
		{"zfs", []string{"dataset is busy", "zfs destroy", "zfs unmount", "/zfs ", "zfs umount", "cannot destroy '", "not currently mounted"}},
		{"btrfs", []string{"btrfs"}},
		{"rbd", []string{"rbd:", "/dev/rbd", "io/rbd", "io~rbd", "rbd.csi.ceph.com", "rbd image", "rbd unmap", "rbd map", "rbd-", "librbd", "rbd device", " rbd "}},
	} {
		if _, ok := hasAny(low, w.words...); ok {
			return w.driver
		}
	}
	return ""
}

// endsIn tells that a path in the text ends in dir.
func endsIn(low, dir string) bool {
	_, after, ok := strings.Cut(low, dir)
	return ok && (after == "" || strings.IndexByte(" \"':,)", after[0]) >= 0)
}
