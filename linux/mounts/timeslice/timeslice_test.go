package timeslice

import (
	"runtime"
	"testing"
	"time"
)

// A slice begins when the processor was got back, not when it was let go.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	other := make(chan time.Time, 1)
	go func() { // it waits for this one to let go
		for began := time.Now(); time.Since(began) < time.Millisecond; {
		}
		other <- time.Now()
	}()
	var s Slice
	for ran := false; !ran; { // the runtime may choose a third
		s = Slice{}
		s.Yield()
		select {
		case ended := <-other:
			ran = true
			if s.since.Before(ended) {
				t.Errorf("the slice began %v too early", ended.Sub(s.since))
			}
		default:
		}
	}
	was := s.since
	if s.Yield(); s.since != was && time.Since(was) < length {
		t.Error("it let go in the middle of its slice")
	}
}
