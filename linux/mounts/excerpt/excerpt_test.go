package excerpt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/linux/mounts"
)

func TestParse(t *testing.T) {
	layer := mounts.Mount{ID: 223, Parent: 1143, Minor: 40, Root: "/", MountPoint: "/rt/a/merged", Options: "rw,relatime",
		Type: "overlay", Source: "overlay", Super: "rw,lowerdir=XXX"}
	shared := layer
	shared.Shared, shared.Master = 122, 109
	for _, tt := range []struct {
		name, in string
		want     []Mount
		others   int
		whole    bool
	}{
		{name: "a line as the kernel has it", in: "223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX", want: []Mount{{Mount: layer, Numbered: true}}},
		{name: "tags", in: "223 1143 0:40 / /rt/a/merged rw,relatime shared:122 master:109 - overlay overlay rw,lowerdir=XXX", want: []Mount{{Mount: shared, Numbered: true}}},
		{name: "grep -n over many processes, one mount", in: "/proc/19973/mountinfo:40:223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX\n" +
			"/proc/19974/mountinfo:40:223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX\n",
			want: []Mount{{Mount: layer, Numbered: true, PID: 19973}}},
		{name: "a log in front", in: "[+1136s] # 223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX", want: []Mount{{Mount: layer, Numbered: true}}},
		{name: "a shell in front, CR behind", in: "$ cat /proc/self/mountinfo\r\n223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX\r\n", others: 1, want: []Mount{{Mount: layer, Numbered: true}}},
		{name: "cut behind the mount point", in: "223 1143 0:40 / /rt/a/merged", want: []Mount{{Mount: mounts.Mount{ID: 223, Parent: 1143, Minor: 40, Root: "/", MountPoint: "/rt/a/merged"}, Numbered: true, Cut: true}}},
		{name: "cut in the tags, where a number may be longer", in: "223 1143 0:40 / /rt/a/merged rw shared:12", want: []Mount{{Mount: mounts.Mount{ID: 223, Parent: 1143, Minor: 40, Root: "/", MountPoint: "/rt/a/merged", Options: "rw"}, Numbered: true, Cut: true}}},
		{name: "cut in the tail", in: "223 1143 0:40 / /rt/a/merged rw shared:1 - overlay", want: []Mount{{Mount: mounts.Mount{ID: 223, Parent: 1143, Minor: 40, Root: "/", MountPoint: "/rt/a/merged", Options: "rw", Shared: 1, Type: "overlay"}, Numbered: true}}},
		{name: "root", in: "39 1 8:3 / / rw - ext4 /dev/sda3 rw", whole: true, want: []Mount{{Mount: mounts.Mount{ID: 39, Parent: 1, Major: 8, Minor: 3, Root: "/", MountPoint: "/", Options: "rw", Type: "ext4", Source: "/dev/sda3", Super: "rw"}, Numbered: true}}},
		{name: "proc mounts by grep", in: `/proc/27837/mounts:shm /a\040b/shm tmpfs rw,size=65536k 0 0`, want: []Mount{{Mount: mounts.Mount{MountPoint: "/a b/shm", Type: "tmpfs", Source: "shm", Super: "rw,size=65536k"}, PID: 27837}}},
		{name: "proc mounts by grep -n", in: `/proc/1/mounts:12:/dev/rbd0 /v ext4 rw 0 0`, want: []Mount{{Mount: mounts.Mount{MountPoint: "/v", Type: "ext4", Source: "/dev/rbd0", Super: "rw"}, PID: 1}}},
		{name: "mount(8)", in: "/dev/rbd0 on /var/lib/kubelet/x y type ext4 (rw,relatime,stripe=64)", want: []Mount{{Mount: mounts.Mount{MountPoint: "/var/lib/kubelet/x y", Type: "ext4", Source: "/dev/rbd0", Super: "rw,relatime,stripe=64"}}}},
		{name: "a thread's", in: "/proc/7/task/9/mountinfo:223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX", want: []Mount{{Mount: layer, Numbered: true, PID: 7}}},
		{name: "root, and one whose parent is missing", in: "39 1 8:3 / / rw - ext4 /dev/sda3 rw\n223 1143 0:40 / /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX", want: []Mount{
			{Mount: mounts.Mount{ID: 39, Parent: 1, Major: 8, Minor: 3, Root: "/", MountPoint: "/", Options: "rw", Type: "ext4", Source: "/dev/sda3", Super: "rw"}, Numbered: true}, {Mount: layer, Numbered: true}}},
		{name: "grep's colors", in: "\x1b[35m\x1b[K/proc/19973/mountinfo\x1b[m\x1b[K:\x1b[32m\x1b[K40\x1b[m\x1b[K:223 1143 0:40 / /rt/\x1b[01;31m\x1b[Ka\x1b[m\x1b[K/merged rw,relatime - overlay overlay rw,lowerdir=XXX", want: []Mount{{Mount: layer, Numbered: true, PID: 19973}}},
		{name: "aligned", in: "223   1143  0:40  /\t/rt/a/merged  rw,relatime  -  overlay  overlay  rw,lowerdir=XXX", want: []Mount{{Mount: layer, Numbered: true}}},
		{name: "cut in two in the mount point", in: "223 1143 0:40 / /rt/a/mer\nged rw,relatime shared:122 master:109 - overlay overlay rw,lowerdir=XXX\n", want: []Mount{{Mount: shared, Numbered: true}}},
		{name: "cut in two before it", in: "223 1143 0:40 /\r\n /rt/a/merged rw,relatime - overlay overlay rw,lowerdir=XXX\r\n", want: []Mount{{Mount: layer, Numbered: true}}},
		{name: "cut, and a sentence behind it", in: "223 1143 0:40 / /rt/a/merged\nbusy - as I said", others: 1, want: []Mount{{Mount: mounts.Mount{ID: 223, Parent: 1143, Minor: 40, Root: "/", MountPoint: "/rt/a/merged"}, Numbered: true, Cut: true}}},
		{name: "escapes that were escaped", in: `"log": "/proc/1/mountinfo:223 1143 0:40 / /a\\040b rw - tmpfs tmpfs rw"`, want: []Mount{{Mount: mounts.Mount{ID: 223, Parent: 1143, Minor: 40, Root: "/", MountPoint: "/a b", Options: "rw", Type: "tmpfs", Source: "tmpfs", Super: `rw"`}, Numbered: true, PID: 1}}},
		{name: "findmnt", in: "TARGET         SOURCE         FSTYPE OPTIONS\n├─/boot        /dev/sda1      ext4   rw,relatime\n│ └─/boot/efi  /dev/sda2      vfat   rw", others: 1, want: []Mount{
			{Mount: mounts.Mount{MountPoint: "/boot", Type: "ext4", Source: "/dev/sda1", Super: "rw,relatime"}}, {Mount: mounts.Mount{MountPoint: "/boot/efi", Type: "vfat", Source: "/dev/sda2", Super: "rw"}}}},
		{name: "findmnt's root", in: "/ /dev/sda3[/@] btrfs rw,relatime", whole: true, want: []Mount{{Mount: mounts.Mount{MountPoint: "/", Type: "btrfs", Source: "/dev/sda3[/@]", Super: "rw,relatime"}}}},
		{name: "proc mounts without its end", in: "/dev/rbd0 /v ext4 rw,relatime", want: []Mount{{Mount: mounts.Mount{MountPoint: "/v", Type: "ext4", Source: "/dev/rbd0", Super: "rw,relatime"}}}},
		{name: "no mounts at all", in: "Error response from daemon: device or resource busy\n1 2 3\n\x00\xff\n", others: 3},
		{name: "numbers too long", in: "99999999999 1 0:40 / /x rw - a b c", others: 1},
		{name: "number over 31 bits", in: "4294967296 1 0:40 / /x rw - a b c", others: 1},
		{name: "broken tag", in: "1 1 0:40 / /x rw shared:x - a b c", others: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Parse([]byte(tt.in))
			if diff := cmp.Diff(tt.want, got.Mounts); diff != "" || got.Others != tt.others || got.Whole != tt.whole {
				t.Errorf("others %d, whole %v (-want +got)\n%s", got.Others, got.Whole, diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("/proc/19973/mountinfo:40:223 1143 0:40 / /rt/a/merged rw,relatime shared:1 - overlay overlay rw,lowerdir=XXX"))
	f.Add([]byte("/proc/27837/mounts:shm /a\\040b/shm tmpfs rw 0 0\n/dev/x on /y type z (rw)\n1 2 0:1 / /"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Parse(text)
		if got.Lines < len(got.Mounts) || got.Lines+got.Others > strings.Count(string(text), "\n")+1 {
			t.Errorf("%d mounts, %d lines, %d others", len(got.Mounts), got.Lines, got.Others)
		}
		for _, m := range got.Mounts {
			if m.MountPoint == "" {
				t.Errorf("no mount point: %+v", m)
			}
		}
	})
}
