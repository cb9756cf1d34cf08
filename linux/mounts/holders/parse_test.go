package holders

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

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

func TestParseInFlight(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int
	}{
		{"pos:\t0\nflags:\t02\nscm_fds: 3\n", 3},
		{"scm_fds: 0\n", 0},
		{"scm_fds: 7", 7}, // cut
		{"pos:\t0\nmnt_id:\t8\n", 0},
		{"scm_fds: -1\n", 0},
		{"scm_fds: 99999999999999999999\n", 0},
		{"scm_fds:\n", 0},
		{" scm_fds: 1\n", 0},
		{"", 0},
	} {
		if got := parseInFlight([]byte(tt.in)); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.in, got, tt.want)
		}
	}
}

// dirents makes directory entries as the kernel lays them out.
func dirents(names ...string) (out []byte) {
	for i, name := range names {
		length := (19 + len(name) + 1 + 7) / 8 * 8
		entry := binary.NativeEndian.AppendUint64(nil, uint64(i+1))
		entry = binary.NativeEndian.AppendUint64(entry, uint64(i+1)) // where the next one is
		entry = append(binary.NativeEndian.AppendUint16(entry, uint16(length)), unix.DT_DIR)
		entry = append(entry, name...)
		out = append(out, append(entry, make([]byte, length-len(entry))...)...)
	}
	return out
}

func TestAppendNumbers(t *testing.T) {
	cut := dirents("1", "22", "333")
	withLength := func(at int, length uint16, entries []byte) []byte {
		binary.NativeEndian.PutUint16(entries[at+16:], length)
		return entries
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want []int
	}{
		{"nothing", nil, nil},
		{"numbers", dirents(".", "..", "1", "0", "4194304", "self", "007"), []int{1, 0, 4194304, 7}},
		{"hostile names", dirents("1a", "a1", "-1", "+1", "1 ", "1_0", "0x1", "", "\xff", "1\n"), nil},
		{"as large as they are", dirents("2147483647"), []int{2147483647}},
		{"too large", dirents("2147483648", "9999999999", "99999999999999999999", strings.Repeat("9", 255)), nil},
		{"cut in a name", cut[:len(cut)-6], []int{1, 22}},
		{"cut in a head", cut[:2*24+17], []int{1, 22}},
		{"a name without an end", withLength(0, 24, dirents("12345")[:24]), []int{12345}},
		{"an entry without a name", withLength(24, 19, dirents("1", "2")), []int{1}},
		{"an entry that is longer than all", withLength(24, 1<<16-1, dirents("1", "2")), []int{1}},
		{"an entry without a length", withLength(24, 0, dirents("1", "2")), []int{1}},
	} {
		if diff := cmp.Diff(tt.want, appendNumbers(nil, tt.in)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
	if got := appendNumbers([]int{7}, dirents("8")); !slices.Equal(got, []int{7, 8}) {
		t.Errorf("after others: %v", got)
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

func FuzzParseInFlight(f *testing.F) {
	f.Add([]byte("pos:\t0\nscm_fds: 3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n := parseInFlight(text); n < 0 || n > 0 && !bytes.Contains(text, []byte("scm_fds:")) {
			t.Fatal(n)
		}
	})
}

// Whatever the entries are, what comes out are numbers of processes, and entries before them change none.
func FuzzAppendNumbers(f *testing.F) {
	f.Add(dirents("1", "self", "4194304", "99999999999"))
	f.Add(dirents(".", "")[:41])
	f.Fuzz(func(t *testing.T, entries []byte) {
		got := appendNumbers(nil, entries)
		if len(got)*20 > len(entries) {
			t.Fatalf("%d numbers in %d bytes", len(got), len(entries))
		}
		for _, n := range got {
			if n < 0 || n > math.MaxInt32 {
				t.Fatal(n)
			}
		}
		names := []string{"7", "x", "12"}
		if all := appendNumbers(nil, append(dirents(names...), entries...)); !slices.Equal(all, append([]int{7, 12}, got...)) {
			t.Fatalf("after others %v, alone %v", all, got)
		}
	})
}
