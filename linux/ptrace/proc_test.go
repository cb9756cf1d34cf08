package ptrace

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tail := strings.Repeat(" 0", 52-22-1)
	for _, tt := range []struct {
		name, in string
		want     stat
		ok       bool
	}{
		{"a zombie", "7 (sh) Z 1 7 7 0 -1 4228364 0 0 0 0 0 0 0 0 20 0 1 0 8432" + tail + " 256", stat{'Z', 1, 4228364, 1, 8432, 256}, true},
		{"a hostile name", "7 (a) Z 1 (b) S 3 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 2 0 9" + tail + " 9", stat{'S', 3, 0, 2, 9, 9}, true},
		{"no number", "7 (sh) Z x 7", stat{state: 'Z'}, false},
		{"cut short", "7 (sh) Z 1 7 7 0 -1 0", stat{state: 'Z', ppid: 1}, false},
		{"empty", "", stat{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseStat([]byte(tt.in))
			if got != tt.want || ok != tt.ok {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	got := parseStatus([]byte("Name:\tNSpid:\\nTracerPid:\nTracerPid:\t5\nGroups:\t0 1 \nNSpid:\t70\t7\t1\nSigPnd:\t0000000000000001\nShdPnd:\t8000000000000000\nSigBlk:\t0000000000000002\nSigCgt:\t0000000000000004\nSeccomp:\t2\nvoluntary_ctxt_switches:\t12\n"))
	want := status{tracer: 5, seccomp: 2, switches: 12, pending: 1<<63 | 1, blocked: 2, caught: 4, depth: 3}
	copy(want.pids[:], []int{70, 7, 1})
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := parseStatus([]byte("NSpid:" + strings.Repeat("\t9", 40))); got.depth != 32 {
		t.Errorf("depth %d", got.depth)
	}
	if got := parseStatus([]byte("garbage")); got != (status{}) {
		t.Errorf("%+v", got)
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add([]byte("running\n"))
	f.Add([]byte("-1 0x7ffe 0x401000\n"))
	f.Add([]byte("202 0x55 0x80 0x0 0x0 0x0 0xffffffffffffffff 0x7ffe 0x401000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, ok := parsePlace(text); ok && p.call > 1<<20 {
			t.Error(p)
		}
		parseStat(text)
		parseStatus(text)
	})
}

// In a burst nothing is allocated, or the collector might run in it.
func TestNothingIsAllocated(t *testing.T) {
	p, err := openProc("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	w := waiterOf(t)
	f := newFilters()
	for range 20 {
		f.insns = append(f.insns, insn{0x06, 0, 0, 0x7fff0000})
		f.ends = append(f.ends, len(f.insns))
	}
	self := os.Getpid()
	got := testing.AllocsPerRun(100, func() {
		if _, errno := p.stat(self, 0); errno != 0 {
			t.Error(errno)
		}
		if _, errno := p.status(self, self); errno != 0 {
			t.Error(errno)
		}
		if _, err := f.judge(1, 2, waitidArgs(7)); err != nil {
			t.Error(err)
		}
		w.wait(self, time.Second) // no child of ours
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func ExampleRefusal() {
	err := refuse("send it SIGCONT", "process %d is stopped", 7)
	fmt.Println(err)
	fmt.Println("try:", err.Hint())
	// Output:
	// process 7 is stopped
	// try: send it SIGCONT
}
