package pid1

import (
	"runtime"
	"sync"
)

// threads is how many the loop can need at a time: three in system calls that
// last (of the main goroutine, the reader of signals and the one that os/signal
// locks), one that runs, and one that is not free yet after its call.
const threads = 5

// reserveThreads makes the threads that the loop will ever need, now.
//
// The runtime makes a thread in the moment in which all are busy, and ends the
// process if it cannot: in a container that has reached its pids.max the init
// would end, and all with it. A thread once made is kept for the next need.
func reserveThreads() {
	runtime.GOMAXPROCS(1) // no thread beside for a second processor; nor later, as the quota of CPU changes
	var held, free sync.WaitGroup
	done := make(chan struct{})
	for range threads {
		held.Add(1)
		free.Go(func() {
			runtime.LockOSThread() // the next one needs another
			held.Done()
			<-done
			runtime.UnlockOSThread() // who ends while locked ends the thread
		})
	}
	held.Wait()
	close(done)
	free.Wait() // a thread that is still locked serves nobody else
}
