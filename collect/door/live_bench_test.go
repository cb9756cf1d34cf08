package door

import (
	"bytes"
	"os"
	"sync"
	"testing"
)

func TestLiveConcurrent(t *testing.T) {
	l := open(t, "/", "")
	want, err := os.ReadFile("/proc/version")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				got, err := l.ReadFile("/proc/version")
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%q, %v", got, err)
					return
				}
				l.ReadDir("/proc/self/task")
				l.ReadLink("/proc/self/exe")
			}
		})
	}
	wg.Wait()
}

// pids returns the stat path of every process.
func pids(t testing.TB, d Door) []string {
	t.Helper()
	names, err := d.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, name := range names {
		if number(name) {
			paths = append(paths, "/proc/"+name+"/stat")
		}
	}
	return paths
}

func BenchmarkReadStat(b *testing.B) {
	l := open(b, "/", "")
	paths := pids(b, l)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := l.ReadFile(paths[i%len(paths)]); err != nil && !Gone(err) {
			b.Fatal(err)
		}
	}
}

// What the standard library takes for the same.
func BenchmarkReadStatOS(b *testing.B) {
	paths := pids(b, open(b, "/", ""))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		os.ReadFile(paths[i%len(paths)])
	}
}

func BenchmarkReadSys(b *testing.B) {
	l := open(b, "/", "")
	for b.Loop() {
		if _, err := l.ReadFile("/sys/kernel/uevent_seqnum"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadDirProc(b *testing.B) {
	l := open(b, "/", "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.ReadDir("/proc"); err != nil {
			b.Fatal(err)
		}
	}
}
