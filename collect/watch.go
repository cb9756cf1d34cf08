package collect

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sexton.dev/linux/cgroupfs"
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

// maxWatched bounds of how many processes one look reads the threads.
const maxWatched = 256

// anyRuns reports whether a thread of one of the processes, or of what they started
// and may wait for (a shim its runc, dockerd "runc --version"), runs, waits for a
// processor or for a disk.
func anyRuns(proc string, pids []string) bool {
	pids = slices.Clone(pids)
	for i := 0; i < min(len(pids), maxWatched); i++ {
		dirs, _ := filepath.Glob(path.Join(proc, pids[i], "task/*")) // the pattern is fine
		for _, dir := range dirs {
			text, err := os.ReadFile(dir + "/stat")
			if err != nil {
				continue // it has ended
			}
			if s, err := procfs.ParseStat(text); err == nil && (s.State == 'R' || s.State == 'D') {
				return true
			}
			if below, err := os.ReadFile(dir + "/children"); err == nil {
				for _, pid := range strings.Fields(string(below)) {
					if !contained(proc, pid) {
						pids = append(pids, pid)
					}
				}
			}
		}
	}
	return false
}

// contained reports whether a process is a container's program: its work says nothing
// of its shim's. Runc's init is in the container too, and its work is runc's.
func contained(proc, pid string) bool {
	comm, err := os.ReadFile(path.Join(proc, pid, "comm"))
	if err != nil || strings.HasPrefix(string(comm), "runc") || strings.HasPrefix(string(comm), "crun") {
		return false
	}
	text, err := os.ReadFile(path.Join(proc, pid, "cgroup"))
	if err != nil {
		return false
	}
	all, err := cgroupfs.ParseMembership(text)
	return err == nil && slices.ContainsFunc(all, func(m cgroupfs.Membership) bool { return cgroupfs.PlaceOf(m.Path).ID != "" })
}
