package holders

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/linux/mounts"
)

func TestParseUserFiles(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"none", "SqThread:\t-1\nUserFiles:\t0\nUserBufs:\t0\n", nil},
		{"two", "UserFiles:\t3\n    0: /a\\040b\n    1: <none>\n    2: /c: d\nUserBufs:\t1\n    0: 0x7f/4096\n", []string{"/a b", "/c: d"}},
		{"hostile names", "UserFiles:\t1\n    0: /\\012UserBufs:\n    1: \x1b[2J\xff\n", []string{"/\nUserBufs:", "\x1b[2J\xff"}},
		{"lines that are none", "UserFiles:\t1\n    x: /a\n   -1: /b\n    2:\n  \n 99999999999: /c\n", nil},
		{"buffers alone", "UserBufs:\t1\n    0: 0x7f/4096\n", nil},
		{"cut", "UserFiles:\t1\n    0: /a", []string{"/a"}},
		{"nothing", "", nil},
	} {
		if diff := cmp.Diff(tt.want, ParseUserFiles([]byte(tt.in))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestParseMountID(t *testing.T) {
	for _, tt := range []struct {
		in      string
		want    uint64
		wantErr string
	}{
		{in: "pos:\t0\nflags:\t02\nmnt_id:\t29\nino:\t7\n", want: 29},
		{in: "pos:\t0\n", wantErr: "no mnt_id"},
		{in: "mnt_id:\tx\n", wantErr: "mnt_id"},
		{in: "mnt_id:\t2147483648\n", wantErr: "mnt_id"},
		{in: "mnt_id:\t" + strings.Repeat("9", 1<<20), wantErr: "mnt_id"},
		{in: "", wantErr: "no mnt_id"},
	} {
		got, err := ParseMountID([]byte(tt.in))
		if got != tt.want || (err == nil) != (tt.wantErr == "") {
			t.Errorf("%.40q: %d, %v", tt.in, got, err)
		}
		if err != nil && (!errors.Is(err, mounts.ErrFormat) || !strings.Contains(err.Error(), tt.wantErr) || len(err.Error()) > 200) {
			t.Errorf("%.40q: %.300v", tt.in, err)
		}
	}
}

func TestHidingOption(t *testing.T) {
	table := func(supers ...string) (all []mounts.Mount) {
		for _, super := range supers {
			all = append(all, mounts.Mount{MountPoint: "/proc", Type: "proc", Super: super})
		}
		return append(all, mounts.Mount{MountPoint: "/x", Type: "proc", Super: "rw,hidepid=2"}, mounts.Mount{MountPoint: "/proc", Type: "tmpfs", Super: "rw,hidepid=2"})
	}
	for _, tt := range []struct {
		name  string
		table []mounts.Mount
		want  string
	}{
		{"plain", table("rw"), ""},
		{"the number", table("rw,gid=5,hidepid=2"), "hidepid=2"},
		{"the word", table("rw,hidepid=invisible"), "hidepid=invisible"},
		{"off", table("rw,hidepid=0"), ""},
		{"off, the word", table("rw,hidepid=off"), ""},
		{"another on top", table("rw,hidepid=2", "rw"), ""},
		{"no table", nil, ""},
	} {
		if got := hidingOption(tt.table, "/proc"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzParseUserFiles(f *testing.F) {
	f.Add([]byte("UserFiles:\t3\n    0: /a\\040b\n    1: <none>\nUserBufs:\t1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		size := 0
		for _, path := range ParseUserFiles(text) {
			size += len(path)
		}
		if size > len(text) {
			t.Fatalf("%d bytes from %q", size, text)
		}
	})
}

func FuzzParseMountID(f *testing.F) {
	f.Add([]byte("pos:\t0\nmnt_id:\t29\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if id, err := ParseMountID(text); err != nil && !errors.Is(err, mounts.ErrFormat) || id >= 1<<31 {
			t.Fatal(id, err)
		}
	})
}
