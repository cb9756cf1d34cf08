package collect

import (
	"strings"
	"testing"
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
