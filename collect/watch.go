package collect

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"time"

	"sexton.dev/linux/procfs"
)

const (
	watchAfter = 500 * time.Millisecond // a healthy daemon has answered by then
	watchEach  = 100 * time.Millisecond
	// atWork is the share of looks, one in atWork, at which a silent daemon with a
	// thread that runs, waits for a processor or is in the kernel counts as one that
	// is slow: on a starved host it is so at nearly all of them.
	atWork = 4
	enough = 3 // looks: who is starved so much that there are fewer cannot tell
)

// watch looks at the threads of processes again and again once half a second is
// over, until ctx ends or the function that it returns is called, which tells
// whether they were at work: those that answer late are, those that hang are not. It
// tells nothing of one that answers at once.
func watch(ctx context.Context, proc string, pids []string) (ran func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	looks, working := 0, 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := watchAfter; ; wait = watchEach {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			looks++
			if anyRuns(proc, pids) {
				working++
			}
		}
	}()
	return func() bool {
		cancel()
		<-done
		return looks < enough || working*atWork >= looks
	}
}

// anyRuns reports whether a thread of one of the processes runs, waits for a
// processor or for a disk.
func anyRuns(proc string, pids []string) bool {
	for _, pid := range pids {
		files, _ := filepath.Glob(path.Join(proc, pid, "task/*/stat")) // the pattern is fine
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it has ended
			}
			if s, err := procfs.ParseStat(text); err == nil && (s.State == 'R' || s.State == 'D') {
				return true
			}
		}
	}
	return false
}
