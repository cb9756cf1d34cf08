package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// A pendingStop is a docker stop of a container that has not ended.
type pendingStop struct {
	*container
	done chan error
}

// stopping has docker stop a new container whose program was told to end and does not
// mind, so that docker waits for so many seconds and kills it then.
func (h *hungHost) stopping(name, grace string) pendingStop {
	h.t.Helper()
	c := h.run(name, nil, "sh", "-c", "trap 'echo told' TERM; echo ready; while :; do sleep 0.1; done").ready()
	s := pendingStop{c, h.pending("stop", "-t", grace, name)}
	hosttest.Until(h.t, soon, name+" is told to end", func() bool { return strings.HasSuffix(h.do("logs", name), "told") })
	return s
}

func (s pendingStop) pends(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.done:
		t.Fatalf("docker stop %s has ended: %v", s.name, err)
	default:
	}
}

// ends waits until docker stop ends well, and its container with it.
func (s pendingStop) ends(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("docker stop %s: %v", s.name, err)
		}
	case <-time.After(soon):
		t.Fatalf("docker stop %s does not end", s.name)
	}
	if is := s.inspect("{{.State.Status}} {{.State.ExitCode}}"); is != "exited 137" {
		t.Errorf("%s is %s", s.name, is)
	}
}

// Where a layer is stopped amid a docker stop it is named, also with the one below it
// stopped as well; once all run on, each docker stop ends as if nothing had been.
func TestRuntimeStopWaits(t *testing.T) {
	h := startHungHost(t)
	other := h.run("other", nil, "sleep", "1000")
	leavesNothing(t)
	named := func(n int, layer, container string, pid int) {
		t.Helper()
		var r report
		hosttest.Until(t, soon, "all are told", func() bool { // not while one is at work, as a moment after it was asked for another thing
			os.Remove(memory)
			r = h.here.scan(t, clean, findings)
			return len(r.of("runtime-hung")) >= n
		})
		for _, f := range r.of("runtime-hung") {
			if f.Subject.PID == pid {
				f.isAt(t, layer, container, pid, "state T")
			}
		}
		if got := len(r.of("runtime-hung")); got != n || !strings.Contains(r.titles(), layer) {
			t.Fatalf("%d findings, want %d, one of them %s: %s", got, n, layer, r.titles())
		}
	}

	shim := h.stopping("web-shim", "1")
	stopDaemon(t, shim.shim())
	hosttest.Until(t, soon, "docker inspect waits for docker stop", func() bool { return h.waits("inspect", shim.name) })
	named(1, "shim", shim.id, shim.shim())
	if !h.answers("ps") || !h.answers("inspect", "other") {
		t.Error("docker ps and inspect other should answer")
	}

	dockerd, containerd := h.stopping("web-dockerd", "60"), h.stopping("web-containerd", "1")
	stopDaemon(t, h.c.pid())
	hosttest.Until(t, soon, "docker inspect waits for docker stop", func() bool { return h.waits("inspect", containerd.name) })
	named(2, "containerd", "", h.c.pid())

	stopDaemon(t, h.pid())
	named(3, "dockerd", "", h.pid())

	all := []pendingStop{shim, containerd, dockerd}
	for _, s := range all {
		s.pends(t)
	}
	h.here.patience = 2 * time.Minute
	steps := h.here.treat(t, "safe", clean).with("resume-process")
	if len(steps) != len(all) {
		t.Errorf("%d steps: %+v", len(steps), steps)
	}
	for _, s := range steps {
		if s.Status != "done" {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range all {
		s.ends(t)
	}
	if is := other.inspect("{{.State.Status}} {{.State.Pid}}"); !strings.HasPrefix(is, "running ") {
		t.Errorf("the other container is %s", is)
	}
	h.quiet(t)
}

// A docker stop that waits for a runc that never ends goes on once that is ended.
func TestRuntimeStopWaitsForRunc(t *testing.T) {
	h := startHungHost(t)
	web := h.run("web", nil, "sleep", "1000")
	leavesNothing(t)
	h.hang("exec")
	entered := h.pending("exec", "web", "true")
	child := childOf(t, web.shim())
	h.hang("")
	s := pendingStop{web, h.pending("stop", "-t", "1", "web")}
	hosttest.Until(t, time.Minute, "the runc is 30 s old", func() bool { return ageOf(t, child) > 31*time.Second })
	if !h.answers("ps") || !h.waits("inspect", "web") || !h.waits("top", "web") {
		t.Error("docker ps should answer, and inspect and top web not")
	}
	h.names(t, "runc", web.id, child, "wait_for_partner")
	s.pends(t)
	h.here.treat(t, "disruptive", clean).only(t, "end-runtime-child", "done")
	s.ends(t)
	if err := <-entered; err == nil {
		t.Error("the docker exec whose runc was ended succeeds")
	}
	h.quiet(t)
}
