package bpfiter

import (
	"testing"

	"sexton.dev/internal/hosttest"
)

// The cost of a question on this host, and the part of loading the program.
func BenchmarkKeepers(b *testing.B) {
	hosttest.NeedsRoot(b)
	q := Question{Devices: []Device{{4095, 1<<20 - 1}}, Most: many}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			program, err := load(q, Device{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			program.Close()
		}
	})
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			if _, err := Keepers(b.Context(), q); err != nil {
				b.Fatal(err)
			}
		}
	})
}
