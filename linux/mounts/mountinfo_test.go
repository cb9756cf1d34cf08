package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantFormat checks that err is nil, or wraps ErrFormat and has part in its text, in a bounded line.
func wantFormat(t *testing.T, err error, part string) {
	t.Helper()
	if part == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), part) {
		t.Fatalf("error %v, want ErrFormat with %s", err, part)
	}
	if len(err.Error()) > 700 {
		t.Fatalf("the error has %d bytes: %.100s", len(err.Error()), err)
	}
}

func TestParseMountinfo(t *testing.T) {
	lower := strings.Repeat("/var/lib/docker/overlay2/l/67CHEM5VH4RUKAJ7YJQWRBNVJE:", 10_000) // 540 KB, as many layers as nobody has
	plain := Mount{ID: 36, Parent: 35, Major: 98, Minor: 0, Root: "/mnt1", MountPoint: "/mnt2", Options: "rw,noatime", Type: "ext3", Source: "/dev/root", Super: "rw,errors=continue"}
	with := func(change func(*Mount)) []Mount {
		m := plain
		change(&m)
		return []Mount{m}
	}
	for _, tt := range []struct {
		name, in string
		want     []Mount
		wantErr  string
	}{
		{name: "the manual page's", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n", want: with(func(m *Mount) { m.Master = 1 })},
		{name: "private", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue\n", want: []Mount{plain}},
		{name: "shared", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:462 - ext3 /dev/root rw,errors=continue\n", want: with(func(m *Mount) { m.Shared = 462 })},
		{name: "shared slave, master out of sight", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:8 master:6 propagate_from:2 - ext3 /dev/root rw,errors=continue\n",
			want: with(func(m *Mount) { m.Shared, m.Master = 8, 6 })},
		{name: "unbindable", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime unbindable - ext3 /dev/root rw,errors=continue\n", want: with(func(m *Mount) { m.Unbindable = true })},
		{name: "fields that a later kernel adds", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime future shared:8 later:x:y - ext3 /dev/root rw,errors=continue\n", want: with(func(m *Mount) { m.Shared = 8 })},
		{name: "no source, as mount(2) with an empty one", in: "36 35 0:39 / /run/x rw,relatime - tmpfs  rw\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: "/run/x", Options: "rw,relatime", Type: "tmpfs", Super: "rw"}}},
		{name: "no superblock options", in: "36 35 0:39 / /x rw - tmpfs none\n", want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: "/x", Options: "rw", Type: "tmpfs", Source: "none"}}},
		{name: "subtype of FUSE", in: "36 35 0:49 / /x rw - fuse.sshfs user@host:/d rw,user_id=0\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 49, Root: "/", MountPoint: "/x", Options: "rw", Type: "fuse.sshfs", Source: "user@host:/d", Super: "rw,user_id=0"}}},
		{name: "every escape, as the kernel wrote it", in: `63 43 0:39 /\040-\040 /tmp/a\040-\040b\011c\134e#f,g=\012h rw,relatime - tmpfs x\040-\040y\040\043\040\134 rw` + "\n",
			want: []Mount{{ID: 63, Parent: 43, Minor: 39, Root: "/ - ", MountPoint: "/tmp/a - b\tc\\e#f,g=\nh", Options: "rw,relatime", Type: "tmpfs", Source: `x - y # \`, Super: "rw"}}},
		{name: "an escaped escape is text", in: `36 35 0:39 / /a\134040b rw - tmpfs none rw` + "\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: `/a\040b`, Options: "rw", Type: "tmpfs", Source: "none", Super: "rw"}}},
		{name: "backslashes that escape nothing", in: `36 35 0:39 / /\400\09\8xx\1234\ rw - tmpfs \ rw\04` + "\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: `/\400\09\8xxS4\`, Options: "rw", Type: "tmpfs", Source: `\`, Super: `rw\04`}}},
		{name: "superblock options stay escaped: the comma in a directory's name is no separator", in: `36 35 0:39 / /x rw - overlay overlay rw,upperdir=/a\134b\054index\075on` + "\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: "/x", Options: "rw", Type: "overlay", Source: "overlay", Super: `rw,upperdir=/a\134b\054index\075on`}}},
		{name: "not UTF-8", in: "36 35 0:39 / /\xff\x1b[2J rw - tmpfs \xfe rw\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: "/\xff\x1b[2J", Options: "rw", Type: "tmpfs", Source: "\xfe", Super: "rw"}}},
		{name: "superblock options with spaces, from a file system that escapes nothing", in: "36 35 0:39 / /x rw - odd none rw,name=a - b c\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 39, Root: "/", MountPoint: "/x", Options: "rw", Type: "odd", Source: "none", Super: "rw,name=a - b c"}}},
		{name: "root that was deleted", in: "216 22 254:1 /var/lib/kubelet/pods/x/nginx.log//deleted /1 rw,relatime shared:1 - ext4 /dev/vda1 rw\n",
			want: []Mount{{ID: 216, Parent: 22, Major: 254, Minor: 1, Root: "/var/lib/kubelet/pods/x/nginx.log//deleted", MountPoint: "/1", Options: "rw,relatime", Shared: 1, Type: "ext4", Source: "/dev/vda1", Super: "rw"}}},
		{name: "root outside of the cgroup namespace", in: "36 35 0:30 /../../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			want: []Mount{{ID: 36, Parent: 35, Minor: 30, Root: "/../../..", MountPoint: "/sys/fs/cgroup", Options: "ro", Type: "cgroup2", Source: "cgroup", Super: "rw"}}},
		{name: "a pinned namespace", in: "310 29 0:4 net:[4026532689] /run/docker/netns/bae6cec20525 rw shared:181 - nsfs nsfs rw\n",
			want: []Mount{{ID: 310, Parent: 29, Minor: 4, Root: "net:[4026532689]", MountPoint: "/run/docker/netns/bae6cec20525", Options: "rw", Shared: 181, Type: "nsfs", Source: "nsfs", Super: "rw"}}},
		{name: "a line over 64 KiB, and the next", in: "51 46 0:44 / /merged rw - overlay overlay rw,lowerdir=" + lower + "\n36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue\n",
			want: []Mount{{ID: 51, Parent: 46, Minor: 44, Root: "/", MountPoint: "/merged", Options: "rw", Type: "overlay", Source: "overlay", Super: "rw,lowerdir=" + lower}, plain}},
		{name: "largest numbers", in: "2147483647 2147483647 4294967295:4294967295 / / rw shared:2147483647 master:2147483647 - t s o\n",
			want: []Mount{{ID: 2147483647, Parent: 2147483647, Major: 4294967295, Minor: 4294967295, Root: "/", MountPoint: "/", Options: "rw", Shared: 2147483647, Master: 2147483647, Type: "t", Source: "s", Super: "o"}}},
		{name: "no newline at the end", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue", want: []Mount{plain}},
		{name: "a process chrooted into a plain directory sees none", in: "", want: []Mount{}},

		{name: "blank line", in: "\n", wantErr: `fields in ""`},
		{name: "newlines that would ask for gigabytes", in: strings.Repeat("\n", 4<<20), wantErr: "fields"},
		{name: "no separator", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 ext3 /dev/root rw\n", wantErr: "fields"},
		{name: "a path with the separator, that no kernel writes", in: "36 35 0:39 / /a - b rw - tmpfs none rw\n", wantErr: "fields"},
		{name: "too few before it", in: "36 35 98:0 /mnt1 /mnt2 - ext3 /dev/root rw\n", wantErr: "fields"},
		{name: "cut after the type", in: "36 35 98:0 / /x rw - ext3", wantErr: "fields"},
		{name: "cut in the path", in: "36 35 98:0 / /x", wantErr: "fields"},
		{name: "/proc/PID/mounts instead", in: "shm /var/lib/docker/containers/526c/shm tmpfs rw,nosuid,size=65536k 0 0\n", wantErr: "fields"},
		{name: "a grep's prefix", in: "/proc/1/mountinfo:36 35 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: "mount id"},
		{name: "id is a word", in: "x 35 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: "mount id"},
		{name: "negative id", in: "-36 35 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: "mount id"},
		{name: "id with a sign", in: "+36 35 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: "mount id"},
		{name: "id past an int32", in: "2147483648 35 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: "mount id"},
		{name: "parent is a word", in: "36 x 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: "mount id"},
		{name: "device without minor", in: "36 35 98 / /x rw - ext3 /dev/root rw\n", wantErr: "device"},
		{name: "device of three", in: "36 35 98:0:1 / /x rw - ext3 /dev/root rw\n", wantErr: "device"},
		{name: "device past 32 bits", in: "36 35 98:4294967296 / /x rw - ext3 /dev/root rw\n", wantErr: "device"},
		{name: "peer group is a word", in: "36 35 98:0 / /x rw shared:x - ext3 /dev/root rw\n", wantErr: "peer group"},
		{name: "negative peer group", in: "36 35 98:0 / /x rw shared:-1 - ext3 /dev/root rw\n", wantErr: "peer group"},
		{name: "peer group is missing", in: "36 35 98:0 / /x rw master - ext3 /dev/root rw\n", wantErr: "peer group"},
		{name: "one bad line in the middle", in: "36 35 98:0 / /x rw - ext3 /dev/root rw\n36 35\n36 35 98:0 / /x rw - ext3 /dev/root rw\n", wantErr: `fields in "36 35"`},
		{name: "the error quotes little", in: strings.Repeat("\x1b", 1<<20), wantErr: "fields"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMountinfo([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%.4000s", diff)
			}
		})
	}
}

// Tables that people posted when a mount would not go: point and propagation of each line.
func TestPostedTables(t *testing.T) {
	type row struct {
		Point          string
		Shared, Master int
	}
	want := map[string][]row{
		"private-graph-root.mountinfo": {{Point: "/home/docker_rt/overlay2/4e09fa68/merged"}, {Point: "/home/docker_rt/overlay2"}, {Point: "/home", Shared: 28}, {Point: "/", Shared: 1}},
		"userns-remap.mountinfo": {{Point: "/boot", Shared: 28}, {Point: "/var/lib/nfs/rpc_pipefs", Shared: 29},
			{Point: "/var/lib/docker/231072.231072/overlay2/6979cabf/merged", Shared: 173}, {Point: "/run/docker/netns/bae6cec20525", Shared: 181}},
		"node-exporter.mountinfo": {{Point: "/host/root/home/data/docker/overlay/b2b96171/merged"}},
	}
	files, err := filepath.Glob("testdata/*.mountinfo")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%v: %q, want %d files", err, files, len(want))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all, err := ParseMountinfo(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var got []row
		for _, m := range all {
			got = append(got, row{m.MountPoint, m.Shared, m.Master})
		}
		if diff := cmp.Diff(want[filepath.Base(file)], got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
	}
}

func TestSplitSuper(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"rw", []string{"rw"}},
		{`rw,upperdir=/a\054index\075on,xino=off`, []string{"rw", "upperdir=/a,index=on", "xino=off"}},
		{`rw,lowerdir=/l\134:\012`, []string{"rw", "lowerdir=/l\\:\n"}},
		{",,", []string{"", "", ""}},
		{`\05,\`, []string{`\05`, `\`}},
	} {
		if diff := cmp.Diff(tt.want, SplitSuper(tt.in)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", tt.in, diff)
		}
	}
}

func TestNamespaceInode(t *testing.T) {
	for text, want := range map[string]uint64{
		"mnt:[4026532570]": 4026532570, "mnt:[1]": 1, "mnt:[18446744073709551616]": 0, "mnt:[99999999999999999999999]": 0,
		"": 0, "mnt:[]": 0, "mnt:[0]": 0, "mnt:[-1]": 0, "mnt:[ 1]": 0, "mnt:[1] ": 0, "mnt:[1]\n": 0, "mnt:[1": 0, "net:[1]": 0, "/mnt:[1]": 0, "mnt:[1x]": 0, "mnt:[0x1]": 0,
	} {
		if got, ok := NamespaceInode(text); ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %d, %t; want %d", text, got, ok, want)
		}
	}
	if inode, ok := BoundNamespace(&Mount{Type: "tmpfs", Root: "mnt:[1]"}); ok {
		t.Errorf("a directory named like one is mnt:[%d]", inode)
	}
	if inode, ok := BoundNamespace(&Mount{Type: "nsfs", Root: "mnt:[7]"}); !ok || inode != 7 {
		t.Errorf("got %d, %t", inode, ok)
	}
}

// What a text asks for in memory stays near its own size, however it is made.
func TestParseMountinfoIsBounded(t *testing.T) {
	line := "1 1 0:1 / / rw - a b\n"
	text := []byte(strings.Repeat(line, 100_000))
	all, err := ParseMountinfo(text)
	if err != nil || len(all) != 100_000 || cap(all) > len(text)/len(line)+1 {
		t.Errorf("%v: %d mounts, room for %d", err, len(all), cap(all))
	}
	newlines := []byte(strings.Repeat("\n", 16<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ParseMountinfo(newlines); err == nil {
		t.Error("blank lines are no mounts")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 10*uint64(len(newlines)) {
		t.Errorf("%d newlines took %d bytes", len(newlines), grown)
	}
}

func FuzzParseMountinfo(f *testing.F) {
	for _, seed := range []string{
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n",
		"36 35 0:39 / /run/x rw,relatime shared:1 unbindable - tmpfs  rw\n",
		`63 43 0:39 /\040 /tmp/a\040-\040b\011c\134e#f rw - tmpfs x\040-\040y\040\043 rw` + "\n", "\n\n", " - ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseMountinfo(text)
		if err != nil {
			wantFormat(t, err, "mountinfo: ")
			if all != nil {
				t.Fatalf("an error and %d mounts", len(all))
			}
			return
		}
		size := 0
		for _, m := range all {
			size += len(m.Root) + len(m.MountPoint) + len(m.Options) + len(m.Type) + len(m.Source) + len(m.Super)
			if m.ID < 0 || m.Parent < 0 || m.Shared < 0 || m.Master < 0 {
				t.Fatalf("%q gave %+v", text, m)
			}
		}
		if size > len(text) || cap(all) > len(text) {
			t.Fatalf("%q gave %d bytes, room for %d", text, size, cap(all))
		}
	})
}
