package procfs

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A zombie of Linux 6.18, without the lines of no use.
const zombieStatus = "Name:\tsh\nState:\tZ (zombie)\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\nTracerPid:\t42\n" +
	"Uid:\t1000\t1001\t1002\t1003\nGid:\t1000\t1000\t1000\t1000\nFDSize:\t0\nGroups:\t4 24 27 \n" +
	"NStgid:\t7\t1\nNSpid:\t7\t1\nNSpgid:\t7\t1\nNSsid:\t7\t1\nKthread:\t0\nThreads:\t1\nSigQ:\t0/96343\n" +
	"SigPnd:\t0000000000000001\nShdPnd:\t0000000000000100\nSigBlk:\t0000000000010000\nSigIgn:\t8000000001001000\nSigCgt:\t0000000180000002\n" +
	"CapInh:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n" +
	"Cpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t23\n"

var zombie = Status{UID: 1000, Tracer: 42, NSpid: []int{7, 1}, SigPnd: 1, ShdPnd: 0x100, SigBlk: 0x10000, SigIgn: 0x8000000001001000,
	SigCgt: 0x180000002, Seccomp: 2, Voluntary: 150, Forced: 23}

func TestParseStatus(t *testing.T) {
	with := func(line, other string) string {
		if !strings.Contains(zombieStatus, line) {
			t.Fatalf("no %q to replace", line)
		}
		return strings.Replace(zombieStatus, line, other, 1)
	}
	for _, tt := range []struct {
		name, in string
		want     Status
		wantErr  string
	}{
		{name: "zombie in a container", in: zombieStatus, want: zombie},
		{name: "kernel 3.10: no NSpid, no Seccomp", want: Status{UID: 27, SigIgn: 0x1000, SigCgt: 0x180014a03, Voluntary: 5, Forced: 6},
			in: "Name:\tmysqld\nState:\tS (sleeping)\nTgid:\t900\nNgid:\t0\nPid:\t900\nPPid:\t1\nTracerPid:\t0\nUid:\t27\t27\t27\t27\nGid:\t27\t27\t27\t27\n" +
				"FDSize:\t64\nGroups:\t27 \nVmPeak:\t  113120 kB\nThreads:\t1\nSigQ:\t0/3891\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n" +
				"SigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180014a03\nCapInh:\t0000000000000000\nCpus_allowed:\t3\n" +
				"voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n"},
		{name: "name forges lines, as the kernel escapes it", in: with("Name:\tsh\n", "Name:\tx\\nPid:\\t1\\nUid:\t0\n"), want: zombie},
		{name: "name with a colon", in: with("Name:\tsh\n", "Name:\tUid: 0 0 0\xff\x1b[2J\n"), want: zombie},
		{name: "a carriage return ends no line", in: with("Name:\tsh\n", "Name:\tx\rUid:\t0\n"), want: zombie},
		{name: "nobody of a user namespace", in: with("Uid:\t1000", "Uid:\t4294967295"), want: func() Status { s := zombie; s.UID = math.MaxUint32; return s }()},
		{name: "unknown lines, lines without a colon", in: "future\n:\nx_new_line:\tabc\n" + zombieStatus, want: zombie},
		{name: "line of 1 MB", in: "Groups:\t" + strings.Repeat("65536 ", 170_000) + "\n" + zombieStatus, want: zombie},

		{name: "empty", in: "", wantErr: "no Pid line"},
		{name: "not a status", in: "7 (sh) S 1\n", wantErr: "no Pid line"},
		{name: "pid is a word", in: with("Pid:\t7", "Pid:\tseven"), wantErr: `Pid "seven"`},
		{name: "uid past 32 bits is not root", in: with("Uid:\t1000", "Uid:\t4294967296"), wantErr: `Uid "4294967296`},
		{name: "uid is a word", in: with("Uid:\t1000", "Uid:\troot"), wantErr: `Uid "root`},
		{name: "no uid", in: with("Uid:\t1000\t1001\t1002\t1003", "Uid:\t"), wantErr: `Uid ""`},
		{name: "tracer is everybody", in: with("TracerPid:\t42", "TracerPid:\t-1"), wantErr: `TracerPid "-1"`},
		{name: "negative pid in a namespace", in: with("NSpid:\t7\t1", "NSpid:\t7\t-1"), wantErr: `NSpid "7\t-1"`},
		{name: "signal set cut short", in: with("SigIgn:\t8000000001001000", "SigIgn:\t80000"), wantErr: `SigIgn "80000"`},
		{name: "signal set of 128 signals", in: with("SigCgt:\t", "SigCgt:\t0000000000000000"), wantErr: "SigCgt"},
		{name: "signal set with a sign", in: with("SigBlk:\t0", "SigBlk:\t+"), wantErr: "SigBlk"},
		{name: "signal set empty", in: with("SigPnd:\t0000000000000001", "SigPnd:\t"), wantErr: `SigPnd ""`},
		{name: "shared set", in: with("ShdPnd:\t0", "ShdPnd:\tx"), wantErr: "ShdPnd"},
		{name: "seccomp", in: with("Seccomp:\t2", "Seccomp:\t-2"), wantErr: `Seccomp "-2"`},
		{name: "switches", in: with("\nvoluntary_ctxt_switches:\t150", "\nvoluntary_ctxt_switches:\t1e9"), wantErr: "voluntary_ctxt_switches"},
		{name: "switches past 64 bits", in: with("nonvoluntary_ctxt_switches:\t23", "nonvoluntary_ctxt_switches:\t99999999999999999999"), wantErr: "nonvoluntary"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseStatus([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func FuzzParseStatus(f *testing.F) {
	for _, seed := range []string{zombieStatus, "Pid:\t1\n", "Uid:\t4294967296\nPid:\t1", "NSpid:\t1 -2\nPid:\t1\n", "SigCgt:\tffffffffffffffff\nPid:\t1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseStatus(text)
		if err != nil {
			wantFormat(t, err, "status: ")
			if !cmp.Equal(s, Status{}, cmpopts.EquateEmpty()) {
				t.Fatalf("an error and %+v", s)
			}
			return
		}
		if s.UID < 0 || s.UID > math.MaxUint32 || s.Tracer < 0 || len(s.NSpid) > len(text) {
			t.Fatalf("%q gave %+v", text, s)
		}
		for _, pid := range s.NSpid {
			if pid < 0 {
				t.Fatalf("%q gave a negative pid: %+v", text, s)
			}
		}
	})
}
