package holding

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

const id = "4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97"

// host has a volume that is used in every way, a layer that a thread keeps, and
// two namespaces without a process.
func host() *snapshot.Host {
	const pv = "/var/lib/kubelet/plugins/pv/globalmount"
	h := &snapshot.Host{
		Root: true,
		Processes: []snapshot.Process{{PID: 1, Start: 1, Comm: "systemd"}, {PID: 70, PPID: 1, Start: 2, Comm: "httpd", Cgroup: "/system.slice/httpd.service"},
			{PID: 80, PPID: 1, Start: 3, Comm: "app", Container: id, Cgroup: "/docker/" + id}},
		Containers: []snapshot.Container{{ID: id, Name: "web", Pod: "a/web-1"}},
		Mounts: &snapshot.Mounts{
			Namespaces: []snapshot.MountNamespace{
				{Inode: 1, ID: 11, Mounts: []snapshot.Mount{
					{ID: 100, Parent: 99, Device: "8:3", Root: "/", Point: "/", Type: "ext4", Source: "/dev/sda3"},
					{ID: 101, Parent: 100, Device: "252:0", Root: "/", Point: pv, Type: "ext4", Source: "/dev/rbd0"},
					{ID: 102, Parent: 101, Device: "0:9", Root: "/", Point: pv + "/sub", Type: "tmpfs", Source: "tmpfs"},
					{ID: 103, Parent: 100, Device: "0:51", Root: "/", Point: "/l/merged", Type: "overlay", Source: "overlay", Super: `rw,lowerdir=/a:` + pv + `/low\054er,upperdir=/l/` + id + `/diff,workdir=/l/work`},
					{ID: 104, Parent: 100, Device: "8:3", Root: "/pods/x//deleted", Point: "/pods/x", Type: "ext4", Source: "/dev/sda3"},
					{ID: 105, Parent: 100, Device: "0:4", Root: "mnt:[4]", Point: "/run/ns", Type: "nsfs", Source: "nsfs"},
				}, Pins: []snapshot.Pin{{Kind: "process", PID: 70}, {Kind: "process", PID: 1}}},
				{Inode: 2, ID: 12, Mounts: []snapshot.Mount{{ID: 201, Parent: 200, OldID: 7, Device: "252:0", Root: "/", Point: "/data"}}, Pins: []snapshot.Pin{{Kind: "thread", PID: 80, TID: 81}}},
				{Inode: 3, ID: 13, Mounts: []snapshot.Mount{{ID: 301, Parent: 300, Device: "252:0", Root: "/", Point: "/old"}}},
				{Inode: 4, ID: 14, Mounts: []snapshot.Mount{{ID: 401, Parent: 400, Device: "252:0", Root: "/sub", Point: "/bound"}}, Pins: []snapshot.Pin{{Kind: "bind", Path: "/run/ns", Namespace: 1}}},
			},
			Blocks: []snapshot.Block{{Name: "rbd0", Device: "252:0"}, {Name: "loop0", Device: "7:0", Backing: pv + "/disk"}, {Name: "loop1", Device: "7:1", Backing: pv + "/sub/disk"}, {Name: "dm-0", Device: "254:0", DM: "vg-lv"}},
			Swaps:  []string{pv + "/swap", "/other"},
			References: []snapshot.Reference{{PID: 70, Kind: "fd", FD: 5, Mount: 101, Device: "252:0", Link: pv + "/x"}, {PID: 70, Kind: "fd", FD: 6, Mount: 101, Device: "252:0", Link: pv + "/y"},
				{PID: 80, Kind: "exe", Mount: 9001, Device: "252:0", Link: "/bin/app"}, {PID: 80, Kind: "iouring", FD: 9, Link: pv + "/z"}, {PID: 80, Kind: "fd", FD: 3, Mount: 100, Device: "8:3", Link: "/etc/x"}},
		},
	}
	h.Sort()
	return h
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		word    string
		devices []string
		mounts  []uint64
	}{
		{"252:0", []string{"252:0"}, []uint64{101, 201, 301, 401}},
		{"/dev/rbd0", []string{"252:0"}, []uint64{101, 201, 301, 401}},
		{"vg-lv", []string{"254:0"}, nil},
		{"/dev/mapper/vg-lv", []string{"254:0"}, nil},
		{"/var/lib/kubelet/plugins/pv/globalmount", []string{"252:0"}, []uint64{101, 201, 301, 401}},
		{"/bound", []string{"252:0"}, []uint64{401}}, // a part of it; the rest is not asked about
		{"201", []string{"252:0"}, []uint64{101, 201, 301, 401}},
		{"7", []string{"252:0"}, []uint64{101, 201, 301, 401}},
		{id, []string{"0:51"}, []uint64{103}},
		{id[:12], []string{"0:51"}, []uint64{103}},
		{"/l/" + id + "/merged", []string{"0:51"}, []uint64{103}}, // the upper layer is beside it
		{"/pods/x", []string{"8:3"}, []uint64{104}},
		{"/var/run/ns", []string{"0:4"}, []uint64{105}}, // as daemons write /run
		{"/", []string{"8:3"}, []uint64{100, 104}},
		{"rbd", []string{}, nil}, // too short to be looked for
		{"nothing-like-this", []string{}, nil},
		{"", nil, nil},
	} {
		t.Run(tt.word, func(t *testing.T) {
			got := Find(host(), tt.word)
			var ids []uint64
			for _, p := range got.Mounts {
				ids = append(ids, p.Mount.ID)
			}
			if diff := cmp.Diff(tt.mounts, ids); diff != "" || fmt.Sprint(got.Devices) != fmt.Sprint(tt.devices) {
				t.Errorf("devices %v, want %v (-want +got)\n%s", got.Devices, tt.devices, diff)
			}
		})
	}
}

func TestOf(t *testing.T) {
	h := host()
	const pv = "/var/lib/kubelet/plugins/pv/globalmount"
	want := []check.Holder{
		{Kind: "process", PID: 1, Comm: "systemd", Path: pv, MountNamespace: 1, MountNamespaceID: 11, MountID: 101},
		{Kind: "thread", PID: 80, TID: 81, Comm: "app", Container: id, Pod: "a/web-1", Path: "/data", MountNamespace: 2, MountNamespaceID: 12, MountID: 201},
		{Kind: "bind", PID: 1, Comm: "systemd", Path: "/run/ns", MountNamespace: 4, MountNamespaceID: 14, MountID: 401},
		{Kind: "unknown", Path: "/old", MountNamespace: 3, MountNamespaceID: 13, MountID: 301},
		{Kind: "fd", PID: 70, FD: 5, Comm: "httpd", Unit: "httpd.service", Path: pv + "/x", MountNamespace: 1, MountNamespaceID: 11, MountID: 101},
		{Kind: "mmap", PID: 80, Comm: "app", Container: id, Pod: "a/web-1", Path: "/bin/app", MountID: 9001},
		{Kind: "iouring", PID: 80, FD: 9, Comm: "app", Container: id, Pod: "a/web-1", Path: pv + "/z"},
		{Kind: "submount", Path: pv + "/sub", MountNamespace: 1, MountNamespaceID: 11, MountID: 102},
		{Kind: "overlay", Path: "/l/merged", MountNamespace: 1, MountNamespaceID: 11, MountID: 103},
		{Kind: "loop", Path: pv + "/disk"},
		{Kind: "swap", Path: pv + "/swap"},
	}
	if diff := cmp.Diff(want, Of(h, Find(h, "252:0"))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := Of(h, Find(h, "nothing-like-this")); len(got) > 0 {
		t.Errorf("held by %v", got)
	}
	// Nothing is mounted there any more, and an overlay still stands on it.
	overlay := []check.Holder{{Kind: "overlay", Path: "/l/merged", MountNamespace: 1, MountNamespaceID: 11, MountID: 103}}
	for word, want := range map[string][]check.Holder{"/a": overlay, "/l/": overlay, "/a/b": nil, "/l/wor": nil,
		"/other": {{Kind: "swap", Path: "/other"}}, pv + "/disk": {{Kind: "loop", Path: "/dev/loop0"}}} {
		if diff := cmp.Diff(want, Of(h, Find(h, word))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", word, diff)
		}
	}
	if got := Of(&snapshot.Host{}, Find(&snapshot.Host{}, "252:0")); len(got) > 0 {
		t.Errorf("without mounts: held by %v", got)
	}
}

// A container's own layer is its "/": files and layers of the host are not on it.
func TestOfRunningContainer(t *testing.T) {
	const overlay, l = "overlay", "/var/lib/docker/overlay2/"
	h := &snapshot.Host{
		Processes: []snapshot.Process{{PID: 1, Comm: "systemd"}, {PID: 80, PPID: 1, Comm: "app", Container: id}},
		Mounts: &snapshot.Mounts{Swaps: []string{"/swapfile"}, Blocks: []snapshot.Block{{Name: "loop0", Device: "7:0", Backing: "/disk"}}, Namespaces: []snapshot.MountNamespace{
			{Inode: 1, Pins: []snapshot.Pin{{Kind: "process", PID: 1}}, Mounts: []snapshot.Mount{{ID: 10, Device: "8:1", Root: "/", Point: "/"},
				{ID: 11, Parent: 10, Device: "0:51", Root: "/", Point: l + "a/merged", Type: overlay, Super: "rw,upperdir=" + l + "a/diff"},
				{ID: 12, Parent: 10, Device: "0:52", Root: "/", Point: l + "b/merged", Type: overlay, Super: "rw,upperdir=" + l + "b/diff"}}},
			{Inode: 2, Pins: []snapshot.Pin{{Kind: "process", PID: 80}}, Mounts: []snapshot.Mount{{ID: 20, Device: "0:51", Root: "/", Point: "/", Type: overlay, Super: "rw,upperdir=" + l + "a/diff"}}},
		}},
	}
	h.Sort()
	for _, holder := range Of(h, MapOf(h).OnDevice("0:51")) {
		if holder.Kind != "process" {
			t.Errorf("held by %+v", holder)
		}
	}
}

// A file that the kernel names is judged as the host sees it, where the host has the
// target. Where it has not, the target's own namespace tells, but for what is that one's
// "/": every path is below that.
func TestOfFilesElsewhere(t *testing.T) {
	h := &snapshot.Host{
		Processes: []snapshot.Process{{PID: 1, Comm: "systemd"}, {PID: 80, PPID: 1, Comm: "app", Container: id}},
		Mounts: &snapshot.Mounts{Swaps: []string{"/swapfile"}, Blocks: []snapshot.Block{{Name: "loop0", Device: "7:0", Backing: "/data/disk"}, {Name: "loop1", Device: "7:1", Backing: "/both/disk"}},
			Namespaces: []snapshot.MountNamespace{
				{Inode: 1, Pins: []snapshot.Pin{{Kind: "process", PID: 1}}, Mounts: []snapshot.Mount{{ID: 10, Device: "8:1", Root: "/", Point: "/"},
					{ID: 11, Parent: 10, Device: "0:53", Root: "/", Point: "/elsewhere"}}},
				{Inode: 2, Pins: []snapshot.Pin{{Kind: "process", PID: 80}}, Mounts: []snapshot.Mount{{ID: 20, Device: "0:51", Root: "/", Point: "/"},
					{ID: 21, Parent: 20, Device: "0:52", Root: "/", Point: "/data"}, {ID: 22, Parent: 20, Device: "0:53", Root: "/", Point: "/both"}}},
			}},
	}
	h.Sort()
	for device, want := range map[string]string{"0:51": "", "0:52": "loop /data/disk", "0:53": ""} {
		got := ""
		for _, holder := range Of(h, Find(h, device)) {
			if holder.Kind == "loop" || holder.Kind == "swap" {
				got += holder.Kind + " " + holder.Path
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", device, got, want)
		}
	}
}

// Where one mount covers another, what is below both by its path is on the upper one.
func TestOfCovered(t *testing.T) {
	h := &snapshot.Host{Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Inode: 1, Pins: []snapshot.Pin{{Kind: "process", PID: 1}}, Mounts: []snapshot.Mount{
		{ID: 10, Device: "8:1", Root: "/", Point: "/"},
		{ID: 11, Parent: 10, Device: "0:51", Root: "/", Point: "/a/b", Type: "tmpfs"},
		{ID: 12, Parent: 10, Device: "0:52", Root: "/", Point: "/a", Type: "tmpfs"}, // over it
		{ID: 13, Parent: 12, Device: "0:53", Root: "/", Point: "/a/c", Type: "tmpfs"},
		{ID: 14, Parent: 10, Device: "0:54", Root: "/", Point: "/o", Type: "overlay", Super: "rw,lowerdir=/a/b/l"},
		{ID: 15, Parent: 10, Device: "0:55", Root: "/", Point: "/p", Type: "overlay", Super: "rw,lowerdir=/a/c/l"},
	}}}}}
	h.Sort()
	for device, want := range map[string][]string{"0:52": {"/o"}, "0:53": {"/p"}} {
		var got []string
		for _, holder := range Of(h, Find(h, device)) {
			if holder.Kind == "overlay" {
				got = append(got, holder.Path)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", device, diff)
		}
	}
}

// Of several targets, each is held by what is in its own layers.
func TestOfLayers(t *testing.T) {
	h := host()
	const layer = "/x/y/diff"
	h.Mounts.References = append(h.Mounts.References, snapshot.Reference{PID: 70, Kind: "cwd", Mount: 9002, Device: "0:99", Link: "/etc", Layer: layer})
	h.Sort()
	for word, want := range map[string]int{"/x/y/merged": 1, "/x/y/z/merged": 0, "/nothing": 0, "252:0": 0} {
		n := 0
		for _, holder := range Of(h, Find(h, word)) {
			if holder.Kind == "cwd" {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: %d, want %d", word, n, want)
		}
	}
}

func TestAlive(t *testing.T) {
	h := host()
	h.Mounts.Blocks[0].Alive = []string{"ext4"}
	for word, want := range map[string]bool{"252:0": true, "/dev/rbd0": true, "7:0": false, "/bound": true, "/pods/x": false} {
		if Alive(h, Find(h, word)) != want {
			t.Errorf("%s: %v", word, !want)
		}
	}
	if Alive(&snapshot.Host{}, Target{Devices: []string{"252:0"}}) {
		t.Error("without a look")
	}
}

// What keeps a namespace is said to have no name only if all that has one was read.
func TestWhoUnknown(t *testing.T) {
	h := host()
	holder := check.Holder{Kind: "unknown"}
	for _, tt := range []struct {
		unread snapshot.Unread
		want   string
	}{
		{snapshot.Unread{Part: snapshot.References, Whole: true}, "something without a name: no process, thread, bound file or open file; a descriptor in flight"},
		{snapshot.Unread{Part: snapshot.MountTables}, "something that could not be read, or has no name"},
		{snapshot.Unread{Part: snapshot.Processes, Whole: true}, "something that could not be read, or has no name"},
	} {
		h.Unread = []snapshot.Unread{tt.unread}
		if got := Who(h, holder); got != tt.want {
			t.Errorf("%+v: %s", tt.unread, got)
		}
	}
}

func TestShapeOf(t *testing.T) {
	for _, tt := range []struct {
		point, source string
		want          Shape
	}{
		{"/home/docker_rt/overlay2/" + id + "/merged", "overlay", Shape{What: "the root file system", Container: id}},
		{"/host/root/data/docker/overlay/" + id + "/merged", "overlay", Shape{What: "the root file system", Container: id}},
		{"/var/lib/docker/containers/" + id + "/shm", "shm", Shape{What: "the shared memory", Container: id}},
		{"/run/containerd/io.containerd.grpc.v1.cri/sandboxes/" + id + "/shm", "shm", Shape{What: "the shared memory", Container: id}},
		{"/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + id + "/rootfs", "overlay", Shape{What: "the root file system", Container: id}},
		{"/run/containerd/io.containerd.runtime.v2.task/default/redis/rootfs", "overlay", Shape{What: "the root file system"}},
		{"/var/lib/docker/devicemapper/mnt/" + id, "/dev/mapper/docker-8:3-1-x", Shape{What: "the root file system", Container: id}},
		{"/var/lib/kubelet/pods/1b2c3d4e-1111-2222-3333-444455556666/volumes/kubernetes.io~csi/pv/mount", "/dev/rbd0", Shape{What: "a volume", PodUID: "1b2c3d4e-1111-2222-3333-444455556666"}},
		{"/var/lib/kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount", "/dev/sdb", Shape{What: "a volume"}},
		{"/data", "/dev/rbd7", Shape{What: "a volume"}},
		{"/", "overlay", Shape{}},
		{"/", "/dev/rbd7", Shape{}},
		{"/dev/shm", "shm", Shape{}},
		{"/home/me/overlay2/notes/merged", "overlay", Shape{}},
	} {
		if got := ShapeOf(&snapshot.Mount{Point: tt.point, Source: tt.source}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.point, got, tt.want)
		}
	}
}

func TestOlder(t *testing.T) {
	for release, want := range map[string]bool{"3.10.0-1160.el7.x86_64": true, "6.1.0-18-amd64": true, "6.16.9": true, "6.17.0": false, "6.18.44": false, "7.0": false, "6.17rc1": false, "": false, "x.y": false} {
		if Older(release) != want {
			t.Errorf("%q: %v", release, !want)
		}
	}
}
