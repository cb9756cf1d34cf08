package kmsg

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzRead holds for any bytes: no panic, ids that are ids, pids that are pids,
// bounded text, and no more events than lines.
func FuzzRead(f *testing.F) {
	for _, r := range rows(f, corpus) {
		f.Add([]byte(r.Text))
	}
	f.Add([]byte(strings.Join(old("java", idA, []string{"[  100]     0   100  1  1  1  0  0 java"}, "100 (java)", "100 (java)"), "\n")))
	f.Add([]byte("4,1,10,c;cgroup: fork\n4,2,11,+,caller=C1;x\n <1>[1.1] x\n{\"MESSAGE\":[1,300]}"))
	f.Add([]byte("[]Killed process 0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		events := 0
		err := Read(strings.NewReader(string(text)), time.UTC, func(e Event) error {
			events++
			if e.Container != "" && len(e.Container) != 64 || e.PID < 0 || len(e.Text) > longestText || e.Family == "" || len(e.Process) > longestComm || e.Times != 1 {
				t.Errorf("%+v", e)
			}
			return nil
		})
		if err != nil || events > strings.Count(string(text), "\n")+1 {
			t.Errorf("%d events, %v", events, err)
		}
	})
}

// A hostile log costs no memory: lines without an end, reports without one,
// tables, victims.
func TestBounded(t *testing.T) {
	var a Assembler
	add := func(text string) { a.Add(Record{Seq: -1, Boot: -1, Kernel: true, Text: text}) }
	for i := range 100_000 {
		n := string(rune('a' + i%26))
		add(n + " invoked oom-killer: gfp_mask=0xd0, order=0")
		add("[ pid ]   uid  tgid")
		add("Memory cgroup stats for /docker/" + n + strings.Repeat("x", 100) + ": cache:0KB")
	}
	for pid := range 2 * mostRows {
		add("[ " + digits(pid+1) + "]     0   100  1  1  1  0  0 java")
	}
	size := 0
	for _, rep := range a.open {
		size += len(rep.rows) + len(rep.text)
	}
	if len(a.open) != mostOpen || size > mostOpen*(mostRows+longestText) {
		t.Errorf("%d reports, %d in them", len(a.open), size)
	}
	for pid := range 1000 {
		add(killedLine("x", pid+1))
	}
	if len(a.victims) != mostVictims {
		t.Errorf("%d victims", len(a.victims))
	}
	for range 10_000 {
		a.Add(Record{Kernel: true, Partial: true, Text: strings.Repeat("y", 1000)})
		if a.part != nil && len(a.part.Text) > longestText+1000 {
			t.Fatalf("%d bytes of one line", len(a.part.Text))
		}
	}
}

func digits(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return digits(n/10) + string(rune('0'+n%10))
}

// A line of many megabytes is read to its end and cut; the next one is read.
func TestLongLine(t *testing.T) {
	long := io.MultiReader(strings.NewReader("[ 1.000000] XFS (dm-1): log I/O error "), strings.NewReader(strings.Repeat("\x00", 20<<20)), strings.NewReader("\n[ 2.000000] XFS (dm-2): log I/O error"))
	var got []string
	if err := Read(long, nil, func(e Event) error { got = append(got, e.Device); return nil }); err != nil || strings.Join(got, " ") != "dm-1 dm-2" {
		t.Errorf("%v, %v", got, err)
	}
}

// What was read before an error counts, and an error of the one who is told ends it.
func TestReadErrors(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader("XFS (dm-1): log I/O error\nXFS (dm-2): log I/O error"), readError{broken})
	n := 0
	if err := Read(in, nil, func(Event) error { n++; return nil }); !errors.Is(err, broken) || n != 2 {
		t.Errorf("%d events, %v", n, err)
	}
	if err := Read(strings.NewReader("XFS (dm-1): log I/O error\n"), nil, func(Event) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type readError struct{ error }

func (r readError) Read([]byte) (int, error) { return 0, r.error }

// BenchmarkRead is a day's log: quiet lines, and a report now and then.
func BenchmarkRead(b *testing.B) {
	quietLines := strings.Repeat("[ 6176.132247] EXT4-fs (loop1): mounted filesystem aca5d574-edf0-44e1-937e-f1ff61475f5f r/w with ordered data mode.\n[ 6177.967514] IPv6: ADDRCONF(NETDEV_CHANGE): veth12: link becomes ready\n", 500)
	text := quietLines + stamped(10, old("java", idA, []string{"[  100]     0   100  1  1  1  0  0 java"}, "100 (java)", "100 (java)")...)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		n := 0
		if err := Read(strings.NewReader(text), time.UTC, func(Event) error { n++; return nil }); err != nil || n != 1 {
			b.Fatalf("%d events, %v", n, err)
		}
	}
}
