package collect

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/collect/door"
	"sexton.dev/runtimes/dockerd"
	"sexton.dev/snapshot"
)

func TestParseContainerd(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     *containerdPool
		wantErr  string
	}{
		{name: "nothing", in: ""},
		{name: "first version", in: "[plugins.devmapper]\npool_name = \"a\"\nroot_path = \"/r\"", want: &containerdPool{"a", "/r"}},
		{name: "second version", in: "version = 2\n[plugins.\"io.containerd.snapshotter.v1.devmapper\"]\n  pool_name = 'containerd-pool'", want: &containerdPool{Pool: "containerd-pool"}},
		{name: "inline", in: `plugins = { "io.containerd.snapshotter.v1.devmapper" = { pool_name = "b" } }`, want: &containerdPool{Pool: "b"}},
		{name: "not told", in: "[plugins.'io.containerd.snapshotter.v1.devmapper']", want: &containerdPool{}},
		{name: "another type", in: "[plugins.devmapper]\npool_name = 7", want: &containerdPool{}},
		{name: "no table", in: "plugins = 7", wantErr: "containerd's settings"},
		{name: "no TOML", in: "[plugins", wantErr: "containerd's settings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseContainerd([]byte(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func TestContainerdConfig(t *testing.T) {
	for _, tt := range []struct{ argv, want string }{
		{"containerd", ""}, {"containerd --config /x", "/x"}, {"containerd --log-level info -c=/y", "/y"}, {"containerd --config", ""},
	} {
		if got := containerdConfig(strings.Fields(tt.argv)); got != tt.want {
			t.Errorf("%s: %q", tt.argv, got)
		}
	}
}

func TestDockerPool(t *testing.T) {
	file := func(driver string, options ...string) *dockerd.File {
		return &dockerd.File{StorageDriver: driver, StorageOpts: options}
	}
	said := func(option string) string { return "/d.json: storage-opts: " + option }
	for _, tt := range []struct {
		name  string
		flags dockerd.Flags
		file  *dockerd.File
		want  *snapshot.PoolUser
	}{
		{name: "nothing"},
		{name: "another driver", file: file("overlay2", "dm.thinpooldev=x")},
		{name: "another driver by flag", flags: dockerd.Flags{StorageDriver: "overlay2"}, file: file("", "dm.thinpooldev=x")},
		{name: "in files of its own", file: file("devicemapper", "dm.basesize=20G")},
		{name: "a path", file: file("devicemapper", "dm.thinpooldev=/dev/mapper/docker-thinpool", "dm.use_deferred_removal=true"),
			want: &snapshot.PoolUser{Daemon: "docker", Pool: "docker-thinpool", Said: said("dm.thinpooldev=/dev/mapper/docker-thinpool"), Root: "/var/lib/docker"}},
		{name: "the driver is not said", file: &dockerd.File{StorageOpts: []string{"DM.thinpooldev = pool"}, DataRoot: "/data"},
			want: &snapshot.PoolUser{Daemon: "docker", Pool: "pool", Said: said("DM.thinpooldev = pool"), Root: "/data"}},
		{name: "made by docker", file: file("devicemapper", "dm.directlvm_device=/dev/sdb", "dm.directlvm_device_force=true"),
			want: &snapshot.PoolUser{Daemon: "docker", Pool: "docker-thinpool", Said: said("dm.directlvm_device=/dev/sdb"), Root: "/var/lib/docker", Disk: "/dev/sdb", Force: true}},
		{name: "by flags", flags: dockerd.Flags{StorageDriver: "devicemapper", StorageOpts: []string{"dm.thinpooldev=p"}, DataRoot: "/r"},
			want: &snapshot.PoolUser{Daemon: "docker", Pool: "p", Said: "command line of dockerd: --storage-opt dm.thinpooldev=p", Root: "/r"}},
		{name: "no value", file: file("devicemapper", "dm.thinpooldev", "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, dockerPool(tt.flags, tt.file, "/d.json")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Files of a host with LVM: the backup that the tutorial on direct-lvm leaves, a
// profile, one that is none, and a volume group that was cut off.
func TestReadLVM(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lvm.conf":                        "activation {\n\t# thin_pool_autoextend_threshold = 70\n\tthin_pool_autoextend_threshold = 100\n}\n",
		"profile/docker-thinpool.profile": "activation {\nthin_pool_autoextend_threshold=80\nthin_pool_autoextend_percent=20\n}\n",
		"profile/other.profile":           "allocation {\ncache_mode = \"writethrough\"\n}\n",
		"backup/docker": "contents = \"Text Format Volume Group\"\ncreation_time = 1544757611\ndocker {\nid = \"a\"\nphysical_volumes {\npv0 {\ndevice = \"/dev/sdb\"\n}\n}\n" +
			"logical_volumes {\nthinpool {\nprofile = \"docker-thinpool\"\nsegment1 {\ntype = \"thin-pool\"\n}\n}\nroot {\nsegment1 {\ntype = \"striped\"\n}\n}\n}\n}\n",
		"backup/cut":  "contents = \"Text Format Volume Group\"\ncut {\nid = \"b\"\n",
		"backup/none": "hello = 1",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readLVM(dir)
	if err == nil || !strings.Contains(err.Error(), "cut: line 4") {
		t.Errorf("error %v", err)
	}
	want := &snapshot.LVM{Threshold: 100, Profiles: []snapshot.LVMProfile{{Name: "docker-thinpool", Threshold: 80, Percent: 20}}, Groups: []snapshot.VolumeGroup{
		{Name: "cut", File: "/etc/lvm/backup/cut"},
		{Name: "docker", File: "/etc/lvm/backup/docker", Written: time.Date(2018, 12, 14, 3, 20, 11, 0, time.UTC), Disks: []string{"/dev/sdb"}, Pools: []snapshot.LVMPool{{Name: "thinpool", Profile: "docker-thinpool"}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := readLVM(filepath.Join(dir, "nothing")); got != nil || !door.Gone(err) {
		t.Errorf("no LVM: %+v, %v", got, err)
	}
}

// What the child told before its time was over counts, and what is missing is said.
func TestMapperLines(t *testing.T) {
	line := func(m mapperLine) string {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	pool := func(mode string) *snapshot.Mapped {
		return &snapshot.Mapped{Name: "p", Device: "254:0", Type: "thin-pool", Pool: &snapshot.Pool{Mode: mode}}
	}
	first := line(mapperLine{Device: pool("")}) + line(mapperLine{Device: &snapshot.Mapped{Name: "t", Device: "254:1"}})
	for _, tt := range []struct {
		name, reply string
		err         error
		want        *snapshot.Pools // nil: not known
		lacks       []string
	}{
		{name: "none", reply: line(mapperLine{None: true}), want: &snapshot.Pools{}},
		{name: "all", reply: first + line(mapperLine{All: true}) + line(mapperLine{Device: pool("rw")}) + line(mapperLine{End: true}),
			want: &snapshot.Pools{Loaded: true, Devices: []snapshot.Mapped{*pool("rw"), {Name: "t", Device: "254:1"}}}},
		{name: "a pool does not answer", reply: first + line(mapperLine{All: true}), err: door.ErrDeadline,
			want: &snapshot.Pools{Loaded: true, Devices: []snapshot.Mapped{*pool(""), {Name: "t", Device: "254:1"}}}, lacks: []string{"the devices of device-mapper: some did not answer in time"}},
		{name: "cut off", reply: first + `{"device":{"na`, err: door.ErrDeadline,
			want: &snapshot.Pools{Loaded: true, Partial: true, Devices: []snapshot.Mapped{*pool(""), {Name: "t", Device: "254:1"}}}, lacks: []string{"the devices of device-mapper: some did not answer in time"}},
		{name: "a part could not be read", reply: line(mapperLine{Device: pool(""), Lack: "read the status of p: input/output error"}) + line(mapperLine{All: true}) + line(mapperLine{End: true}),
			want: &snapshot.Pools{Loaded: true, Devices: []snapshot.Mapped{*pool("")}}, lacks: []string{"device p: read the status of p: input/output error"}},
		{name: "not allowed", reply: line(mapperLine{Whole: "list the devices: permission denied"}), lacks: []string{"the devices of device-mapper: list the devices: permission denied"}},
		{name: "no answer", err: door.ErrDeadline, lacks: []string{"the devices of device-mapper: no answer in time"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &looker{Door: askDoor{}, h: &snapshot.Host{}, Options: Options{Child: func(context.Context, ...string) ([]byte, error) { return []byte(tt.reply), tt.err }}}
			p := &snapshot.Pools{}
			if !l.mapper(t.Context(), p) {
				p = nil
			}
			if diff := cmp.Diff(tt.want, p); diff != "" {
				t.Error(diff)
			}
			var lacks []string
			for _, u := range l.h.Unread {
				lacks = append(lacks, u.Path+": "+u.Err)
			}
			if diff := cmp.Diff(tt.lacks, lacks); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// askDoor answers questions and knows no file.
type askDoor struct{ door.Door }

func (askDoor) Ask(_ string, live func() ([]byte, error)) ([]byte, error) { return live() }
