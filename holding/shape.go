package holding

import (
	"regexp"
	"strings"
	"sync"

	"sexton.dev/snapshot"
)

// A Shape is what a mount is to a runtime, a kubelet or a volume driver, by its
// place and its source.
type Shape struct {
	What      string // "the root file system", "" if it is nothing of container software
	Container string // 64 hex digits: of a container or sandbox, or of a layer's directory
	PodUID    string
}

// A pattern is a place by its path, and what is mounted there.
type pattern struct {
	what string
	*regexp.Regexp
}

// shapes are the places where container software mounts, wherever its root
// directory is: the end of the path tells.
//
// Sources: moby v28 daemon/graphdriver, container/container_unix.go; containerd v2
// plugins/snapshots, internal/cri/server; kubernetes v1.34 pkg/kubelet/kubelet_getters.go.
var shapes = sync.OnceValue(func() []pattern {
	return []pattern{
		{"the root file system", regexp.MustCompile(`/(?:overlay2?|aufs/mnt|vfs/dir|fuse-overlayfs|btrfs/subvolumes|devicemapper/mnt|zfs/graph)/([0-9a-f]{64})(?:-init)?(?:/(?:merged|rootfs))?$`)},
		{"the root file system", regexp.MustCompile(`/io\.containerd\.runtime\.v[12]\.[a-z]+/[^/]+/([^/]+)/rootfs$`)},
		{"the shared memory", regexp.MustCompile(`/(?:containers|sandboxes|overlay-containers)/([0-9a-f]{64})/(?:mounts/|userdata/)?shm$`)},
		{"a secret or file", regexp.MustCompile(`/containers/([0-9a-f]{64})/mounts/`)},
		{"a volume", regexp.MustCompile(`/pods/[0-9a-f-]{32,36}/(?:volumes|volume-subpaths|volumeDevices)/`)},
		{"a volume", regexp.MustCompile(`/volumes/[^/]+/_data$`)}, // docker's and podman's
		{"a volume", regexp.MustCompile(`(?s)/kubelet/plugins/.*(?:/globalmount|/mounts/[^/]+)$`)},
	}
})

var (
	podPath = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`/pods/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})/`)
	})
	volumeSource = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^/dev/(?:rbd|nbd|longhorn/|mapper/docker-|disk/by-path/.*iscsi)`)
	})
)

// ShapeOf says what a mount is. What a container sees at a path of its own, as its
// "/" or /dev/shm, has no shape.
func ShapeOf(m *snapshot.Mount) Shape { return shapeAt(m.Point).orOf(m) }

// Shape is [ShapeOf] a mount of the map. The paths were matched once: the same one
// comes in many namespaces.
func (m *Map) Shape(mount *snapshot.Mount) Shape { return m.shapes[mount.Point].orOf(mount) }

// shapeAt is the shape by the place alone.
func shapeAt(point string) Shape {
	for _, s := range shapes() {
		found := s.FindStringSubmatch(point)
		if found == nil {
			continue
		}
		out := Shape{What: s.what}
		if len(found) > 1 && len(found[1]) == 64 {
			out.Container = found[1]
		}
		if pod := podPath().FindStringSubmatch(point); pod != nil {
			out.PodUID = pod[1]
		}
		return out
	}
	return Shape{}
}

// orOf is the shape by the place, or else by the source.
func (s Shape) orOf(m *snapshot.Mount) Shape {
	if s.What == "" && m.Point != "/" && strings.HasPrefix(m.Source, "/dev/") && volumeSource().MatchString(m.Source) {
		return Shape{What: "a volume"}
	}
	return s
}
