package stacks

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A shelf is what goroutines of this test wait for.
type shelf struct {
	name string
	size int
	mu   sync.Mutex
	rw   sync.RWMutex
}

//go:noinline
func (s *shelf) hold(locked *sync.WaitGroup, until chan bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rw.RLock()
	defer s.rw.RUnlock()
	locked.Done()
	<-until
}

//go:noinline
func (s *shelf) get() int { s.mu.Lock(); defer s.mu.Unlock(); return s.size }

//go:noinline
func (s *shelf) set() { s.rw.Lock(); defer s.rw.Unlock(); s.name += "x" }

//go:noinline
func (s *shelf) look() int { s.rw.RLock(); defer s.rw.RUnlock(); return len(s.name) }

// The dump of this very process, by the Go that builds it: the waiters of a mutex
// and the address of it, readers and a writer of one RWMutex.
func TestOwnDump(t *testing.T) {
	var all, locked sync.WaitGroup
	s, until := &shelf{name: "s"}, make(chan bool)
	locked.Add(1)
	all.Go(func() { s.hold(&locked, until) })
	locked.Wait()
	defer all.Wait()
	defer close(until)
	for range 3 {
		all.Go(func() { s.get() })
	}
	all.Go(s.set)
	waiting := func(state string) int { return strings.Count(ownDump(), "["+state) }
	for deadline := time.Now().Add(10 * time.Second); waiting("sync.Mutex.Lock") < 3 || waiting("sync.RWMutex.Lock") < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(ownDump())
		}
	}
	all.Go(func() { s.look() }) // behind the writer
	for deadline := time.Now().Add(10 * time.Second); waiting("sync.RWMutex.RLock") < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(ownDump())
		}
	}
	text := ownDump()
	r := read(t, text)
	if want := strings.Count("\n"+text, "\ngoroutine "); r.Goroutines != want {
		t.Errorf("%d goroutines, want %d", r.Goroutines, want)
	}
	if want := fmt.Sprintf("%p", &s.mu); r.WaitersOnSameLock != 3 || r.Lock != want || short(r.BlockedFunction) != "stacks.(*shelf).get" {
		t.Errorf("%d wait for %s in %s, want 3 for %s\n%s", r.WaitersOnSameLock, r.Lock, r.BlockedFunction, want, text)
	}
	if len(r.Locks) != 2 || r.Locks[1].Waiters != 2 {
		t.Errorf("want a reader and a writer of one lock at %p: %+v\n%s", &s.rw, r.Locks, text)
	}
	if len(r.Lost) != 0 {
		t.Errorf("lost: %q", r.Lost)
	}
}

func ownDump() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}
