package cgroupfs

import (
	"errors"
	"maps"
	"slices"
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
	if len(err.Error()) > 500 {
		t.Fatalf("the error has %d bytes: %.100s", len(err.Error()), err)
	}
}

func TestParseMembership(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []Membership
		wantErr  string
	}{
		{name: "version 2", in: "0::/system.slice/ssh.service\n", want: []Membership{{Path: "/system.slice/ssh.service"}}},
		{name: "version 1 of RHEL 7", in: "11:pids:/docker/x\n10:cpuacct,cpu:/docker/x\n1:name=systemd:/docker/x\n", want: []Membership{
			{Hierarchy: 11, Controllers: []string{"pids"}, Path: "/docker/x"},
			{Hierarchy: 10, Controllers: []string{"cpuacct", "cpu"}, Path: "/docker/x"},
			{Hierarchy: 1, Controllers: []string{"name=systemd"}, Path: "/docker/x"}}},
		{name: "hybrid, a zombie: in version 1 in the root", in: "4:memory:/\n1:name=systemd:/\n0::/docker/x\n", want: []Membership{
			{Hierarchy: 4, Controllers: []string{"memory"}, Path: "/"},
			{Hierarchy: 1, Controllers: []string{"name=systemd"}, Path: "/"},
			{Path: "/docker/x"}}},
		{name: "controller with a name beside it", in: "3:cpu,name=own:/\n", want: []Membership{{Hierarchy: 3, Controllers: []string{"cpu", "name=own"}, Path: "/"}}},
		{name: "cgroup that is gone", in: "0::/docker/x (deleted)\n", want: []Membership{{Path: "/docker/x", Deleted: true}}},
		{name: "gone, and named so", in: "0::/x (deleted) (deleted)\n", want: []Membership{{Path: "/x (deleted)", Deleted: true}}},
		{name: "version 1 has no mark, only names", in: "7:pids:/x (deleted)\n", want: []Membership{{Hierarchy: 7, Controllers: []string{"pids"}, Path: "/x (deleted)"}}},
		{name: "colons", in: "0::/system.slice:docker:x\n", want: []Membership{{Path: "/system.slice:docker:x"}}},
		{name: "colons of version 1", in: "7:pids:/a:b/1:name=systemd:/c\n", want: []Membership{{Hierarchy: 7, Controllers: []string{"pids"}, Path: "/a:b/1:name=systemd:/c"}}},
		{name: "outside of the reader's cgroup namespace", in: "0::/../../other\n", want: []Membership{{Path: "/../../other"}}},
		{name: "the reader's own root", in: "0::/\n", want: []Membership{{Path: "/"}}},
		{name: "any bytes", in: "0::/ \xff\x1b[2J\r\t\n", want: []Membership{{Path: "/ \xff\x1b[2J\r\t"}}},
		{name: "no newline at the end", in: "0::/a", want: []Membership{{Path: "/a"}}},
		{name: "hierarchy of a host with many mounts", in: "2147483647:pids:/\n", want: []Membership{{Hierarchy: 2147483647, Controllers: []string{"pids"}, Path: "/"}}},
		{name: "path of 1 MB", in: "0::/" + strings.Repeat("x/", 500_000) + "\n", want: []Membership{{Path: "/" + strings.Repeat("x/", 500_000)}}},
		{name: "empty"},

		{name: "blank line", in: "0::/\n\n", wantErr: `line "\n"`},
		{name: "cut before the path", in: "0::/a\n1:pids", wantErr: `line "1:pids"`},
		{name: "no path", in: "1:pids:\n", wantErr: "line"},
		{name: "relative path", in: "1:pids:docker\n", wantErr: "line"},
		{name: "root that was unmounted, as some kernels print it", in: "7995:name=cgrp2: (deleted)\n", wantErr: "line"},
		{name: "hierarchy is a word", in: "x:pids:/\n", wantErr: `hierarchy "x"`},
		{name: "negative hierarchy", in: "-1:pids:/\n", wantErr: `hierarchy "-1"`},
		{name: "hierarchy past an int32", in: "2147483648:pids:/\n", wantErr: "hierarchy"},
		{name: "the error quotes little", in: strings.Repeat("\x1b", 1<<20), wantErr: "line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMembership([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestOf(t *testing.T) {
	const (
		v2     = "0::/two\n"
		v1     = "2:cpu,pids:/pids\n1:name=systemd:/systemd\n"
		hybrid = v1 + v2
	)
	for _, tt := range []struct{ name, in, controller, want string }{
		{"version 2 holds all", v2, "pids", "/two"},
		{"version 1", v1, "pids", "/pids"},
		{"version 1, the second of two", v1, "cpu", "/pids"},
		{"version 1, by name", v1, "name=systemd", "/systemd"},
		{"version 1 without it", v1, "memory", ""},
		{"hybrid, in version 1", hybrid, "pids", "/pids"},
		{"hybrid, moved to version 2", hybrid, "memory", "/two"},
		{"part of a name", v1, "systemd", ""},
		{"nothing", "", "pids", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := ParseMembership([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if m, ok := Of(all, tt.controller); ok != (tt.want != "") || m.Path != tt.want {
				t.Errorf("got %q, %v; want %q", m.Path, ok, tt.want)
			}
		})
	}
}

func TestParseMax(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     uint64
		limited  bool
		wantErr  string
	}{
		{name: "none", in: "max\n"},
		{name: "a limit", in: "512\n", want: 512, limited: true},
		{name: "none may be forked", in: "0\n", limited: true},
		{name: "no memory limit in version 1", in: "9223372036854771712\n", want: 9223372036854771712, limited: true},
		{name: "largest", in: "18446744073709551615", want: 18446744073709551615, limited: true},
		{name: "empty", in: "", wantErr: `limit: unexpected format: ""`},
		{name: "cut short", in: "ma", wantErr: `"ma"`},
		{name: "two", in: "1 2\n", wantErr: "limit"},
		{name: "negative", in: "-1\n", wantErr: "limit"},
		{name: "past a uint64", in: "18446744073709551616\n", wantErr: "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, limited, err := ParseMax([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if got != tt.want || limited != tt.limited {
				t.Errorf("got %d, %v; want %d, %v", got, limited, tt.want, tt.limited)
			}
		})
	}
}

func TestParseKeyed(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     map[string]uint64
		wantErr  string
	}{
		{name: "pids.events", in: "max 12\n", want: map[string]uint64{"max": 12}},
		{name: "cgroup.events", in: "populated 1\nfrozen 0\n", want: map[string]uint64{"populated": 1, "frozen": 0}},
		{name: "memory.oom_control of version 1", in: "oom_kill_disable 0\nunder_oom 0\noom_kill 3", want: map[string]uint64{"oom_kill_disable": 0, "under_oom": 0, "oom_kill": 3}},
		{name: "empty", want: map[string]uint64{}},
		{name: "one word", in: "populated\n", wantErr: `line "populated\n"`},
		{name: "cut in a key", in: "populated 1\nfro", wantErr: `line "fro"`},
		{name: "blank line", in: "max 12\n\n", wantErr: "line"},
		{name: "nested keyed, io.stat", in: "8:0 rbytes=1 wbytes=2\n", wantErr: "line"},
		{name: "two spaces", in: "max  12\n", wantErr: "line"},
		{name: "negative", in: "max -1\n", wantErr: "line"},
		{name: "past a uint64", in: "max 18446744073709551616\n", wantErr: "line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseKeyed([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func FuzzParseMembership(f *testing.F) {
	for _, seed := range []string{"0::/a (deleted)\n", "11:pids:/docker/x\n1:name=systemd:/\n0::/\n", "7995:name=cgrp2: (deleted)\n", ":::", "0::/a:b:c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseMembership(text)
		if err != nil {
			wantFormat(t, err, "cgroup: ")
			if all != nil {
				t.Fatalf("an error and %+v", all)
			}
			return
		}
		size := 0
		for _, m := range all {
			size += len(m.Path) + len(strings.Join(m.Controllers, ","))
			if m.Hierarchy < 0 || m.Path[0] != '/' || m.Deleted && m.Hierarchy != 0 {
				t.Fatalf("%q gave %+v", text, m)
			}
			if first, ok := Of(all, "pids"); !ok && (m.Hierarchy == 0 || slices.Contains(m.Controllers, "pids")) {
				t.Fatalf("%q: pids not found in %+v, got %+v", text, all, first)
			}
		}
		if size > len(text) {
			t.Fatalf("%q gave %d bytes", text, size)
		}
	})
}

func FuzzParseLimits(f *testing.F) {
	for _, seed := range []string{"max\n", "512\n", "max 12\n", "populated 1\nfrozen 0\n", "1_0 1_0"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if value, limited, err := ParseMax(text); err != nil {
			wantFormat(t, err, "limit: ")
		} else if !limited && value != 0 {
			t.Fatalf("%q gave %d and no limit", text, value)
		}
		keyed, err := ParseKeyed(text)
		if err != nil {
			wantFormat(t, err, "keyed file: ")
			return
		}
		if keys := slices.Collect(maps.Keys(keyed)); len(strings.Join(keys, "")) > len(text) {
			t.Fatalf("%q gave %q", text, keys)
		}
	})
}
