package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sexton.dev/internal/hosttest"
)

// layersOf are the rungs of a ladder.
func layersOf(f finding) string {
	var out []string
	for _, r := range f.Ladder {
		out = append(out, r.Layer)
	}
	return strings.Join(out, " ")
}

// hungOne scans and returns the one finding of runtime-hung, which must be at this rung.
func hungOne(t *testing.T, here world, layer string, pid int) finding {
	t.Helper()
	here.patience = wholeScan
	r := here.scan(t, findings)
	all := r.of("runtime-hung")
	if len(all) != 1 || all[0].Subject.PID != pid {
		t.Fatalf("want one of pid %d: %s", pid, r.titles())
	}
	for _, r := range all[0].Ladder {
		if r.Silent != (r.Layer == layer) {
			t.Errorf("rung %+v, want %s silent\n%s", r, layer, drawn(all[0]))
		}
	}
	return all[0]
}

// A shim of containerd alone has no dockerd above it.
func TestRuntimeHungContainerd(t *testing.T) {
	d := startContainerd(t)
	redis := d.run("redis", "/bin/sleep", "1000")
	leavesNothing(t)
	shim := parentOf(t, redis)
	stopDaemon(t, shim)
	f := hungOne(t, world{containerd: d.socket}, "shim", shim)
	if f.Subject.Container != "redis" || layersOf(f) != "client containerd shim program" {
		t.Errorf("%+v\n%s", f.Subject, drawn(f))
	}
}

// Below conmon of podman there is no shim, and no daemon above it.
func TestRuntimeHungPodman(t *testing.T) {
	podman := startPodman(t)
	id := podman("run", "-d", "--network=none", "--cgroup-parent", "/"+filepath.Base(work)+"/podman", "--log-driver=k8s-file", "--name", "web", image, "sleep", "1000")
	leavesNothing(t)
	conmon := 0
	hosttest.Until(t, soon, "its conmon", func() bool {
		for _, pid := range pids() {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if string(comm) == "conmon\n" {
				conmon = pid
			}
		}
		return conmon != 0
	})
	stopDaemon(t, conmon)
	f := hungOne(t, world{}, "conmon", conmon)
	if f.Subject.Container != id || layersOf(f) != "client conmon program" {
		t.Errorf("%+v\n%s", f.Subject, drawn(f))
	}
}
