package procfs

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseChildren(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []int
		wantErr  string
	}{
		{name: "none", in: ""},
		{name: "in the kernel's order", in: "12 7 2147483647 ", want: []int{12, 7, 2147483647}},
		{name: "a word", in: "12 x ", wantErr: `pids "12 x "`},
		{name: "a process group", in: "12 -7 ", wantErr: "pids"},
		{name: "the own group", in: "0 ", wantErr: "pids"},
		{name: "past an int32", in: "2147483648 ", wantErr: "pids"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseChildren([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseLoadavg(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int
		wantErr  string
	}{
		{name: "a host", in: "0.28 0.11 0.08 1/83 8726\n", want: 83},
		{name: "load past a million", in: "1000000.00 0.11 0.08 32768/2147483647 8726\n", want: 2147483647},
		{name: "empty", in: "", wantErr: "tasks"},
		{name: "cut before the tasks", in: "0.28 0.11 0.08 1", wantErr: "tasks"},
		{name: "cut in the tasks", in: "0.28 0.11 0.08 1/", wantErr: "tasks"},
		{name: "negative", in: "0.28 0.11 0.08 1/-83 8726\n", wantErr: "tasks"},
		{name: "two slashes", in: "0.28 0.11 0.08 1/2/3 8726\n", wantErr: "tasks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseLoadavg([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestParseUptime(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     float64
		wantErr  string
	}{
		{name: "a host", in: "1644.04 3122.85\n", want: 1644.04},
		{name: "just booted", in: "0.00 0.00\n"},
		{name: "ten years", in: "315360000.12 0.00\n", want: 315360000.12},
		{name: "empty", in: "", wantErr: `seconds ""`},
		{name: "negative", in: "-1.00 0.00\n", wantErr: "seconds"},
		{name: "not a number", in: "nan 0.00\n", wantErr: "seconds"},
		{name: "infinite", in: "inf 0.00\n", wantErr: "seconds"},
		{name: "hexadecimal", in: "0x1p4 0.00\n", wantErr: "seconds"},
		{name: "with an exponent", in: "1e3 0.00\n", wantErr: "seconds"},
		{name: "two points", in: "1.2.3 0.00\n", wantErr: "seconds"},
		{name: "longer than a time.Duration", in: "9223372037 0.00\n", wantErr: "seconds"},
		{name: "of 1 MB", in: strings.Repeat("9", 1<<20), wantErr: "seconds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseUptime([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseSyscall(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int
		running  bool
		wantErr  string
	}{
		{name: "running", in: "running\n", want: -1, running: true},
		{name: "in read", in: "0 0x3 0x7ffd 0x400 0x0 0x0 0x0 0x7ffe 0x7fff\n"},
		{name: "in wait4", in: "61 0xffffffffffffffff 0x7ffd 0x0 0x0 0x0 0x0 0x7ffe 0x7fff\n", want: 61},
		{name: "blocked outside, a zombie", in: "-1 0x0 0x0\n", want: -1},
		{name: "x32 numbers have bit 30 set", in: "1073741825 0x0 0x0\n", want: 1073741825},
		{name: "empty", in: "", want: -1, wantErr: `number ""`},
		{name: "a word that only begins like running", in: "runningwild\n", want: -1, wantErr: "number"},
		{name: "past an int32", in: "4294967295 0x0\n", want: -1, wantErr: "number"},
		{name: "hexadecimal", in: "0x3d 0x0\n", want: -1, wantErr: "number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, running, err := ParseSyscall([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if got != tt.want || running != tt.running {
				t.Errorf("got %d, %v; want %d, %v", got, running, tt.want, tt.running)
			}
		})
	}
}

func TestParseNumber(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int
		wantErr  string
	}{
		{name: "pid_max", in: "4194304\n", want: 4194304},
		{name: "negative", in: "-1000\n", want: -1000},
		{name: "largest", in: "2147483647\n", want: math.MaxInt32},
		{name: "past an int32", in: "2147483648\n", wantErr: "value"},
		{name: "empty", in: "\n", wantErr: "value"},
		{name: "two", in: "1 2\n", wantErr: "value"},
		{name: "a sign alone", in: "-\n", wantErr: "value"},
		{name: "a plus", in: "+1\n", wantErr: "value"},
		{name: "two signs", in: "--1\n", wantErr: "value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseNumber([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestParseNamespace(t *testing.T) {
	for _, tt := range []struct {
		name, in, kind string
		inode          uint64
		wantErr        string
	}{
		{name: "mount", in: "mnt:[4026531841]", kind: "mnt", inode: 4026531841},
		{name: "largest", in: "net:[18446744073709551609]", kind: "net", inode: 18446744073709551609},
		{name: "empty", in: "", wantErr: "link"},
		{name: "no kind", in: ":[4026531841]", wantErr: "link"},
		{name: "no number", in: "mnt:[]", wantErr: "link"},
		{name: "cut short", in: "mnt:[40265", wantErr: "link"},
		{name: "negative", in: "mnt:[-1]", wantErr: "link"},
		{name: "past a uint64", in: "mnt:[99999999999999999999]", wantErr: "link"},
		{name: "another kind of link", in: "socket:4026531841", wantErr: "link"},
		{name: "text after it", in: "mnt:[4026531841] (deleted)", wantErr: "link"},
		{name: "a file that is named so", in: "/tmp/mnt:[1]x", wantErr: "link"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, inode, err := ParseNamespace(tt.in)
			wantFormat(t, err, tt.wantErr)
			if kind != tt.kind || inode != tt.inode {
				t.Errorf("got %q %d, want %q %d", kind, inode, tt.kind, tt.inode)
			}
		})
	}
}

func TestParseArgv(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{name: "a zombie, a kernel thread", in: ""},
		{name: "padding alone", in: "\x00\x00\x00"},
		{name: "a command", in: "sh\x00-c\x00exec sleep 1\x00", want: []string{"sh", "-c", "exec sleep 1"}},
		{name: "empty arguments inside", in: "\x00\x00x\x00", want: []string{"", "", "x"}},
		{name: "rewritten by the process: no NUL, padding", in: "nginx: master process\x00\x00\x00\x00", want: []string{"nginx: master process"}},
		{name: "any bytes", in: "\xff\n\x1b[2J\x00 ", want: []string{"\xff\n\x1b[2J", " "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseArgv([]byte(tt.in))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseFDInfo(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     map[string]string
	}{
		{name: "empty", in: "", want: map[string]string{}},
		{name: "a file", in: "pos:\t0\nflags:\t0100002\nmnt_id:\t15\nino:\t42\n", want: map[string]string{"pos": "0", "flags": "0100002", "mnt_id": "15", "ino": "42"}},
		{name: "a pidfd", in: "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nPid:\t900\nNSpid:\t900\t1\n",
			want: map[string]string{"pos": "0", "flags": "02000002", "mnt_id": "15", "Pid": "900", "NSpid": "900\t1"}},
		{name: "no newline at the end", in: "fuse_connection:\t49", want: map[string]string{"fuse_connection": "49"}},
		{name: "a later line forges nothing", in: "mnt_id:\t15\nmnt_id:\t99\n", want: map[string]string{"mnt_id": "15"}},
		{name: "lines without a key", in: "pos\n\n:x\neventfd-count: 1\n", want: map[string]string{"": "x", "eventfd-count": "1"}},
		{name: "a value with colons", in: "inotify wd:1 ino:b3 sdev:800013\n", want: map[string]string{"inotify wd": "1 ino:b3 sdev:800013"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseFDInfo([]byte(tt.in))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
