package ptrace

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// A freezer is a hierarchy of cgroups that can be frozen, in either version.
type freezer struct{ root, file, on, off string }

func freezers(t *testing.T) (all []freezer) {
	hosttest.NeedsRoot(t)
	for _, f := range []freezer{{"/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"}, {"/sys/fs/cgroup", "cgroup.freeze", "1", "0"}, {"/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"}} {
		_, v1 := os.Stat(f.root + "/tasks")
		_, v2 := os.Stat(f.root + "/cgroup.controllers")
		if f.on == "FROZEN" && v1 == nil || f.on == "1" && v2 == nil {
			all = append(all, f)
		}
	}
	hosttest.Needs(t, "cgroups", len(all) > 0, "mount cgroup2 at /sys/fs/cgroup")
	return all
}

// group puts the target in a cgroup of its own until the end of the test.
func (f freezer) group(t *testing.T, r *runningTarget) (dir string) {
	dir = filepath.Join(f.root, fmt.Sprintf("sexton-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		hosttest.Needs(t, "cgroups", false, err.Error())
	}
	t.Cleanup(func() {
		os.WriteFile(filepath.Join(dir, f.file), []byte(f.off), 0)
		unix.Kill(r.pid, unix.SIGKILL)
		hosttest.Until(t, patience, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(r.pid)), 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freeze pauses the target until the end of the test.
func (f freezer) freeze(t *testing.T, r *runningTarget) {
	dir := f.group(t, r)
	if err := os.WriteFile(filepath.Join(dir, f.file), []byte(f.on), 0); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, patience, "it is frozen", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, f.file))
		events, _ := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		return f.on == "FROZEN" && strings.TrimSpace(string(text)) == f.on || bytes.Contains(events, []byte("frozen 1"))
	})
}

// A container that is paused and resumed all the time, also amid a burst: the
// target never sees more than that.
func TestPausedAmid(t *testing.T) {
	n, random := hosttest.Trials(t, 100, 1000)
	for _, f := range freezers(t) {
		for _, kind := range []string{"futex", "poll-timed"} {
			t.Run(f.root+"/"+kind, func(t *testing.T) {
				r := startTarget(t, kind, n, nil)
				dir, i := f.group(t, r), startInjector(t, nil)
				blocked, end, done := r.line("SigBlk"), make(chan struct{}), make(chan struct{})
				pauses := 0
				go func() {
					defer close(done)
					for {
						os.WriteFile(filepath.Join(dir, f.file), []byte(f.on), 0)
						time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond)
						os.WriteFile(filepath.Join(dir, f.file), []byte(f.off), 0)
						pauses++
						select {
						case <-end:
							return
						case <-time.After(time.Duration(random.IntN(8000)) * time.Microsecond):
						}
					}
				}()
				hosttest.Until(t, 3*patience, "all are reaped", func() bool {
					_, ended := i.reap(order{Request: r.request(r.dead())})
					if ended.Error != "" && ended.Refusal == nil {
						t.Fatal(ended.Error)
					}
					return len(r.dead()) == 0
				})
				close(end)
				<-done
				t.Logf("paused %d times", pauses)
				r.undisturbed(blocked, time.Second)
				r.end()
			})
		}
	}
}
