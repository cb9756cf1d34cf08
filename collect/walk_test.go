package collect

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/collect/door"
	"sexton.dev/internal/hosttest"
	"sexton.dev/snapshot"
)

// crowd adds many processes to a fake host, half of them in a container.
func crowd(f fake) {
	var root, inner strings.Builder
	for pid := 100; pid < 200; pid++ {
		at, list := "/", &root
		if pid%2 == 0 {
			at, list = "/docker/"+id64, &inner
		}
		f.process(pid, 1, "S", "worker", map[string]any{"cgroup": "0::" + at + "\n"})
		fmt.Fprintln(list, pid)
	}
	f["/proc/cgroups"] = "#subsys_name\thierarchy\tnum_cgroups\tenabled\npids\t0\t3\t1\n"
	f["/sys/fs/cgroup/cgroup.procs"] = "1\n0\n" + root.String()
	f["/sys/fs/cgroup/cgroup.stat"] = "nr_descendants 2\n"
	f["/sys/fs/cgroup/docker/cgroup.procs"] = ""
	f["/sys/fs/cgroup/docker/"+id64+"/cgroup.procs"] = inner.String()
	f["/sys/fs/cgroup/docker/"+id64+"/pids.max"] = "max\n"
}

// Seen from the cgroups or from the processes, everybody is in the same place.
func TestWalkIsTheSame(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(fake)
		walked bool
	}{
		{"whole", func(fake) {}, true},
		{"one started meanwhile", func(f fake) {
			f.process(300, 1, "S", "new", map[string]any{"cgroup": "0::/docker/" + id64 + "\n"})
		}, true},
		{"a threaded cgroup", func(f fake) { f["/sys/fs/cgroup/docker/"+id64+"/cgroup.procs"] = syscall.EOPNOTSUPP }, false},
		{"more cgroups than processes", func(f fake) { f["/proc/cgroups"] = "pids\t0\t3000\t1\n" }, false},
		{"no count", func(f fake) { delete(f, "/proc/cgroups") }, false},
		{"a cgroup named like a file", func(f fake) {
			f["/sys/fs/cgroup/memory.x/cgroup.procs"] = "300\n"
			f.process(300, 1, "S", "odd", map[string]any{"cgroup": "0::/memory.x\n"})
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := counting{newHost(), map[string]int{}}
			crowd(f.fake)
			tt.spoil(f.fake)
			_, h := Looks(t.Context(), f, nil, Options{Parts: []snapshot.Part{snapshot.Processes, snapshot.Places}})
			if asked := f.reads["/proc/100/cgroup"] > 0; asked == tt.walked {
				t.Errorf("process 100 was asked itself: %v, want %v", asked, !tt.walked)
			}
			for i := range h.Processes {
				p := &h.Processes[i]
				want := strings.TrimSpace(strings.TrimPrefix(f.fake[fmt.Sprintf("/proc/%d/cgroup", p.PID)].(string), "0::"))
				if !p.Kernel && p.Cgroup != want {
					t.Errorf("process %d is in %q, want %q", p.PID, p.Cgroup, want)
				}
			}
		})
	}
}

// The same on the machine that the test runs on, whatever its hierarchies are.
func TestWalkLive(t *testing.T) {
	hosttest.NeedsRoot(t)
	live, err := door.Open("/", "")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	l := begin(context.Background(), live.Look(), Options{})
	l.findHierarchies()
	l.places = placeCache{}
	walked := l.walkPlaces(1 << 30)
	hosttest.Needs(t, "cgroups", walked != nil, "mount the cgroup hierarchies; a threaded cgroup cannot be walked")
	same := 0
	for pid, got := range walked {
		if told := compared(l, pid, got); told == "" {
			same++
		} else if told != ended {
			t.Error(told)
		}
	}
	if same == 0 {
		t.Error("no process was compared")
	}
}

const ended = "it has ended"

// compared is how a process's place by the walk differs from what it says itself, "" if
// it does not. It may be moved between the two, so they are compared again.
func compared(l *looker, pid int, walked *place) (told string) {
	for range 20 {
		own, err := l.places.read(l, fmt.Sprintf("/proc/%d/cgroup", pid))
		switch {
		case walked == nil || err != nil || strings.Contains(l.text(fmt.Sprintf("/proc/%d/stat", pid)), ") Z "):
			return ended // of a dead one version 1 says "/"
		case cmp.Equal(own, walked):
			return ""
		}
		told = fmt.Sprintf("process %d: %+v by the walk, %+v by itself", pid, *walked, *own)
		walked = l.walkPlaces(1 << 30)[pid]
	}
	return told
}
