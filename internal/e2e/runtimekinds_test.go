package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// layersOf are the rungs of a ladder.
func layersOf(f finding) string {
	var out []string
	for _, r := range f.Ladder {
		out = append(out, r.Layer)
	}
	return strings.Join(out, " ")
}

// A shim of containerd alone has no dockerd above it.
func TestRuntimeHungContainerd(t *testing.T) {
	d := startContainerd(t)
	redis := d.run("redis", "/bin/sleep", "1000")
	leavesNothing(t)
	shim := parentOf(t, redis)
	stopDaemon(t, shim)
	f := world{containerd: d.socket, patience: wholeScan}.hungAt(t, "shim", "redis", shim, "state T")
	if layersOf(f) != "client containerd shim program" {
		t.Errorf("%+v\n%s", f.Subject, drawn(f))
	}
}

// Below conmon of podman there is no shim, and no daemon above it.
func TestRuntimeHungPodman(t *testing.T) {
	podman := startPodman(t)
	id := podman("run", "-d", "--network=none", "--cgroup-parent", "/"+filepath.Base(work)+"/podman", "--log-driver=k8s-file", "--name", "web", image, "sleep", "1000")
	leavesNothing(t)
	conmon := awaitProcess(t, "its conmon", func(pid int) bool { return statOf(pid).comm == "conmon" })
	stopDaemon(t, conmon)
	f := world{patience: wholeScan}.hungAt(t, "conmon", id, conmon, "state T")
	if layersOf(f) != "client conmon program" {
		t.Errorf("%+v\n%s", f.Subject, drawn(f))
	}
}
