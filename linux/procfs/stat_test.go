package procfs

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// after is what Linux 6.18 printed after the state of a sleeping process.
const after = " 1 7 6 0 -1 4194560 1529 0 0 0 3 1 0 0 20 0 2 0 8432 3133440 433 18446744073709551615" +
	" 94 95 96 0 0 0 0 0 65536 1 0 0 17 1 0 0 0 0 0 97 98 99 100 101 102 103 256\n"

var sleeping = Stat{PID: 7, Comm: "sh", State: 'S', PPID: 1, PGRP: 7, Session: 6, Flags: 4194560, Threads: 2, Start: 8432, ExitCode: 256}

// named is sleeping with another comm and state.
func named(comm string, state byte) Stat {
	s := sleeping
	s.Comm, s.State = comm, state
	return s
}

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Stat
		wantErr  string // "" for none; else part of an error that wraps ErrFormat
	}{
		{name: "sleeping", in: "7 (sh) S" + after, want: sleeping},
		{name: "no newline at the end", in: strings.TrimSuffix("7 (sh) S"+after, "\n"), want: sleeping},
		{name: "on a terminal", in: "7 (sh) S" + strings.Replace(after, " 0 -1 ", " 34816 -1 ", 1), want: func() Stat { s := sleeping; s.Terminal = 34816; return s }()},
		{name: "on a terminal whose minor has 20 bits", in: "7 (sh) S" + strings.Replace(after, " 0 -1 ", " -7340033 -1 ", 1), want: func() Stat { s := sleeping; s.Terminal = -7340033; return s }()},
		{name: "zombie, and its wait status", in: "8724 (python3) Z 8683 8680 6920 0 -1 4227148 222 0 0 0 0 0 0 0 20 0 1 0 164372 0 0 18446744073709551615 0 0 0 0 0 0 0 16781312 2 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 768\n",
			want: Stat{PID: 8724, Comm: "python3", State: 'Z', PPID: 8683, PGRP: 8680, Session: 6920, Flags: 4227148, Threads: 1, Start: 164372, ExitCode: 768}},
		{name: "being released: no signal lock, so -1 and 0", in: "9 (gone) Z 0 -1 -1 0 -1 4228108 0 0 0 0 0 0 0 0 20 0 0 0 77 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
			want: Stat{PID: 9, Comm: "gone", State: 'Z', PGRP: -1, Session: -1, Flags: 4228108, Start: 77}},
		{name: "kernel worker, 63 byte name", in: "9 (kworker/u8:3-events_unbound_and_a_very_long_name_of_sixty_three) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
			want: Stat{PID: 9, Comm: "kworker/u8:3-events_unbound_and_a_very_long_name_of_sixty_three", State: 'I', PPID: 2, Flags: 69238880, Threads: 1, Start: 5}},
		{name: "kernel 2.6.32: 44 fields, no exit code", in: "7 (sh) S 1 7 6 0 -1 4194560 1529 0 0 0 3 1 0 0 20 0 2 0 8432 3133440 433 18446744073709551615 94 95 96 0 0 0 0 0 65536 1 0 0 17 1 0 0 0 0 0\n",
			want: func() Stat { s := sleeping; s.ExitCode = 0; return s }()},
		{name: "kernel 3.10: 52 fields, hexless kernel addresses", in: "1 (systemd) S 0 1 1 0 -1 4202752 20330 1105384 17 1184 94 122 6049 1412 20 0 1 0 4 196358144 1671 18446744073709551615 1 1 0 0 0 0 671173123 4096 1260 18446744071581306544 0 0 17 1 0 0 12 0 0 0 0 0 0 0 0 0 0\n",
			want: Stat{PID: 1, Comm: "systemd", State: 'S', PGRP: 1, Session: 1, Flags: 4202752, Threads: 1, Start: 4}},

		{name: "comm forges a state and a parent", in: "7 (a) R 2 (b) Z" + after, want: named("a) R 2 (b", 'Z')},
		{name: "comm forges a whole line", in: "7 (x) S 1 1 1\n8 (y) S" + after, want: named("x) S 1 1 1\n8 (y", 'S')},
		{name: "comm is a bracket", in: "7 ()) S" + after, want: named(")", 'S')},
		{name: "comm opens", in: "7 (() S" + after, want: named("(", 'S')},
		{name: "comm is empty", in: "7 () S" + after, want: named("", 'S')},
		{name: "comm is spaces", in: "7 (   ) S" + after, want: named("   ", 'S')},
		{name: "comm is not UTF-8, and controls the terminal", in: "7 (\xff\x1b[2J\t\r) S" + after, want: named("\xff\x1b[2J\t\r", 'S')},
		{name: "comm of 1 MB", in: "7 (" + strings.Repeat(") R 2 (", 150_000) + ") S" + after, want: named(strings.Repeat(") R 2 (", 150_000), 'S')},
		{name: "line of 1 MB", in: "7 (sh) S" + strings.TrimSuffix(after, "\n") + strings.Repeat(" 1", 500_000) + "\n", want: sleeping},
		{name: "largest numbers", in: "2147483647 (sh) S 2147483647 -2147483647 6 0 -1 18446744073709551609 0 0 0 0 0 0 0 0 20 0 2147483647 0 18446744073709551609 0\n",
			want: Stat{PID: 2147483647, Comm: "sh", State: 'S', PPID: 2147483647, PGRP: -2147483647, Session: 6, Flags: 18446744073709551609, Threads: 2147483647, Start: 18446744073709551609}},

		{name: "empty", in: "", wantErr: `no (comm) in ""`},
		{name: "no comm", in: "7 sh S" + after, wantErr: "no (comm)"},
		{name: "no pid", in: "(sh) S" + after, wantErr: "no (comm)"},
		{name: "comm never ends", in: "7 (sh S 1 7 6", wantErr: "no (comm)"},
		{name: "brackets the wrong way", in: "7 )sh( S" + after, wantErr: "no (comm)"},
		{name: "no space before comm", in: "71(sh) S" + after, wantErr: "no (comm)"},
		{name: "pid is a word", in: "x (sh) S" + after, wantErr: `pid "x"`},
		{name: "pid 0", in: "0 (sh) S" + after, wantErr: `pid "0"`},
		{name: "pid -1 is everybody", in: "-1 (sh) S" + after, wantErr: `pid "-1"`},
		{name: "pid past an int32", in: "2147483648 (sh) S" + after, wantErr: `pid "2147483648"`},
		{name: "parent is everybody", in: "7 (sh) S -1" + after, wantErr: `ppid "-1"`},
		{name: "parent past an int32", in: "7 (sh) S 4294967297" + after, wantErr: `ppid "4294967297"`},
		{name: "state of two letters", in: "7 (sh) SS" + after, wantErr: `state "SS"`},
		{name: "state is no letter", in: "7 (sh) 1" + after, wantErr: `state "1"`},
		{name: "terminal is a word", in: "7 (sh) S" + strings.Replace(after, " 0 -1 ", " pts/0 -1 ", 1), wantErr: `tty_nr "pts/0"`},
		{name: "negative thread count", in: "7 (sh) S 1 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 -2 0 84 0 0", wantErr: `num_threads "-2"`},
		{name: "start past a uint64", in: "7 (sh) S 1 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99999999999999999999 0 0", wantErr: `starttime "99999999999999999999"`},
		{name: "negative start", in: "7 (sh) S 1 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 -5 0 0", wantErr: `starttime "-5"`},
		{name: "exit code is a word", in: "7 (sh) S" + strings.Replace(after, " 256", " 0x100", 1), wantErr: `exit_code "0x100"`},
		{name: "a tab does not part fields", in: "7 (sh) S\t1 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 84 0 0", wantErr: `state "S\t1"`},
		{name: "ends after comm", in: "7 (sh)", wantErr: "fields end early"},
		{name: "ends at a newline", in: "7 (sh) S 1 7\n6 0 -1", wantErr: "fields end early"},
		{name: "ends with a start time that may be cut", in: "7 (sh) S 1 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 84", wantErr: "fields end early"},
		{name: "the error quotes little of a long text", in: strings.Repeat("\x1b", 1<<20), wantErr: `no (comm) in "` + strings.Repeat(`\x1b`, 40) + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseStat([]byte(tt.in))
			wantFormat(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

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
	if len(err.Error()) > 400 {
		t.Fatalf("the error has %d bytes: %.100s", len(err.Error()), err)
	}
}

// A text cut at any byte gives an error or the same process, never another
// one: only the exit code, the last field, may differ.
func TestParseStatCutShort(t *testing.T) {
	for _, comm := range []string{"sh", "a) R 2 (b", "7 (sh) S 1 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 84 0 0 ("} {
		whole := []byte("7 (" + comm + ") S" + after)
		end := bytes.LastIndexByte(whole, ')')
		want := named(comm, 'S')
		for n := end + 1; n < len(whole); n++ {
			got, err := ParseStat(whole[:n])
			if err != nil {
				wantFormat(t, err, "stat: ")
				continue
			}
			if got.ExitCode = want.ExitCode; got != want {
				t.Errorf("cut to %q: got %+v", whole[:n], got)
			}
		}
	}
}

func FuzzParseStat(f *testing.F) {
	for _, seed := range []string{"7 (sh) S" + after, "7 (a) R 2 (b) Z" + after, "7 (x\n(\xff) Z" + after, "-1 (sh) S" + after, "7 (sh) S 1", "((("} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseStat(text)
		if err != nil {
			wantFormat(t, err, "stat: ")
			if s != (Stat{}) {
				t.Fatalf("an error and %+v", s)
			}
			return
		}
		if s.PID < 1 || s.PPID < 0 || s.Threads < 0 || len(s.Comm) > len(text) {
			t.Fatalf("%q gave %+v", text, s)
		}
	})
}
