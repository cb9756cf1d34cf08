package door

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A busy host must fit into a few megabytes, and so must the recorder.
func TestRecordSize(t *testing.T) {
	busy := syntheticHost(3000)
	runtime.GC()
	before, start := peakRSS(t), time.Now()
	r, path := create(t, Meta{})
	reads, raw := 0, 0
	for range 2 {
		d := r.Look(busy)
		names, err := d.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			for _, file := range []string{"stat", "status", "cgroup", "comm", "wchan", "task/" + name + "/children"} {
				text, err := d.ReadFile("/proc/" + name + "/" + file)
				if err != nil {
					t.Fatal(err)
				}
				reads, raw = reads+1, raw+len(text)
			}
		}
		for i := range 40 {
			if _, err := d.ReadFile(fmt.Sprintf("/proc/%s/mountinfo", names[i])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reads of %.1f MB: %.2f MB in %v (making the texts included), peak RSS %.1f MB, %+.1f by this",
		reads, float64(raw)/1e6, float64(info.Size())/1e6, took.Round(time.Millisecond), float64(peakRSS(t))/1024, float64(peakRSS(t)-before)/1024)
	if info.Size() > 5e6 {
		t.Errorf("%d bytes", info.Size())
	}
	start = time.Now()
	if _, err := OpenRecording(path); err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v", time.Since(start).Round(time.Millisecond))
}

func peakRSS(t testing.TB) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return usage.Maxrss
}

func BenchmarkRecord(b *testing.B) {
	file, err := os.OpenFile(filepath.Join(b.TempDir(), "r"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	r, err := newRecorder(&discardStore{file}, Meta{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Abort()
	text := []byte(strings.Repeat("1234 (x) S 1 2 3 4 5 ", 15))
	d := r.Look(&fakeDoor{read: func(string) ([]byte, error) { return text, nil }})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%maxEntries == 0 {
			r.written, r.has = 0, map[lookQuestion]struct{}{}
		}
		if _, err := d.ReadFile(fmt.Sprintf("/proc/%d/stat", i%(maxEntries/4))); err != nil {
			b.Fatal(err)
		}
	}
}

type discardStore struct{ *os.File }

func (discardStore) Write(p []byte) (int, error) { return io.Discard.Write(p) }
