package census

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
)

// The costs that the design stands on, by processor time: one pass of numbers,
// the whole index, and the lists alone.
func BenchmarkRead(b *testing.B) {
	needsStatmount(b)
	mountstest.Start(b, 100, 80, 1)
	for _, bb := range []struct {
		name string
		req  Request
	}{
		{"numbers", Request{Passes: 1}},
		{"settled", Request{}},
		{"one device", Request{Passes: 1, About: &Question{Device: func(mounts.Device) bool { return false }}}},
		{"whole", Request{Passes: 1, Whole: true}},
		{"mountinfo", Request{Passes: 1, Way: Mountinfo}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			count := 0
			before := cpu(b)
			for b.Loop() {
				c, err := Read(context.Background(), bb.req)
				if err != nil {
					b.Skip(err)
				}
				for _, ns := range c.Namespaces {
					count += len(ns.Mounts)
				}
			}
			b.ReportMetric((cpu(b)-before)/float64(count)*1e6, "cpu-us/mount")
			b.ReportMetric(float64(count)/float64(b.N), "mounts")
		})
	}
}

// cpu returns the processor time of this process in seconds.
func cpu(b *testing.B) float64 {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	seconds := func(t unix.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(use.Utime) + seconds(use.Stime)
}
