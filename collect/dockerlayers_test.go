package collect

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"sexton.dev/collect/door"
	"sexton.dev/snapshot"
)

func TestStoreOf(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, tt := range []struct {
		name, point string
		want        layerStore // zero: none
	}{
		{"overlay2", "/var/lib/docker/overlay2/" + id + "/merged", layerStore{"/var/lib/docker", "overlay2"}},
		{"a graph root elsewhere", "/srv/d/fuse-overlayfs/" + id + "/merged", layerStore{"/srv/d", "fuse-overlayfs"}},
		{"without merged", "/var/lib/docker/overlay/" + id, layerStore{"/var/lib/docker", "overlay"}},
		{"a folder of the driver's", "/var/lib/docker/btrfs/subvolumes/" + id, layerStore{"/var/lib/docker", "btrfs"}},
		{"a folder of another driver's", "/var/lib/docker/btrfs/mnt/" + id, layerStore{}},
		{"a driver that has a folder, without it", "/var/lib/docker/aufs/" + id, layerStore{}},
		{"a device mapper's root, with its own merged", "/var/lib/docker/devicemapper/mnt/" + id + "/merged", layerStore{"/var/lib/docker", "devicemapper"}},
		{"right in /", "/vfs/dir/" + id, layerStore{"", "vfs"}},
		{"an id alone", id, layerStore{}},
		{"an id in the root", "/" + id, layerStore{}},
		{"no driver", "/var/lib/docker/volumes/" + id, layerStore{}},
		{"64 that are no id", "/var/lib/docker/overlay2/" + strings.Repeat("g", 64), layerStore{}},
		{"two slashes", "/var/lib/docker/overlay2//" + id, layerStore{}},
		{"empty", "", layerStore{}},
	} {
		if got, ok := storeOf(tt.point); ok != (tt.want != layerStore{}) || ok && got != tt.want {
			t.Errorf("%s: %+v %v", tt.name, got, ok)
		}
	}
}

// The files are docker's, below the host's root directory: no file that a look reads itself.
func TestDockerLayers(t *testing.T) {
	id, layer, root := strings.Repeat("a1", 32), strings.Repeat("b2", 32), t.TempDir()
	dir := root + "/var/lib/docker/image/overlay2/layerdb/mounts"
	for name, text := range map[string]string{id: layer, strings.Repeat("c3", 32): "none", "no-id": layer} {
		if err := os.MkdirAll(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+"/mount-id", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/"+strings.Repeat("d4", 32), 0o755); err != nil { // without a file
		t.Fatal(err)
	}
	host, err := door.Open(root, "/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	l := looker{Door: host.Look(), h: &snapshot.Host{}, Options: Options{Root: root, Child: func(_ context.Context, args ...string) ([]byte, error) {
		var out bytes.Buffer
		err := childLayers(&out, args[1])
		return out.Bytes(), err
	}}}
	for _, name := range []string{id, strings.Repeat("c3", 32), strings.Repeat("d4", 32)} {
		l.h.Containers = append(l.h.Containers, snapshot.Container{ID: name})
	}
	point := "/var/lib/docker/overlay2/" + layer + "/merged"
	l.dockerLayers(t.Context(), &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Mounts: []snapshot.Mount{{Point: point}, {Point: "/srv/none/overlay2/" + layer + "/merged"}}}}})
	if got := []string{l.h.Containers[0].RootFS, l.h.Containers[1].RootFS, l.h.Containers[2].RootFS}; got[0] != point || got[1]+got[2] != "" || len(l.h.Unread) > 0 {
		t.Errorf("layers %q, unread %+v", got, l.h.Unread)
	}
}
