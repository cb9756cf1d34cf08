package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
)

// stopDaemon sends SIGSTOP to a process and returns when it has stopped. At
// the end of the test it runs on, if it is there still.
func stopDaemon(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
	})
	hosttest.Until(t, soon, "state T", func() bool { return stateOf(pid) == "T" })
}

// namesStopped fails the test unless scan, why and ps are quick and say who is
// stopped, and of whom, if that is given.
func namesStopped(t *testing.T, here world, comm, of string, pid int) report {
	t.Helper()
	r := here.scan(t, findings)
	f := r.only(t, "hung-task", comm)
	if f.Subject.PID != pid || f.Subject.Kind != "runtime" || f.Severity != "critical" || !strings.HasPrefix(f.Title, fmt.Sprintf("%s (pid %d)", comm, pid)) ||
		!strings.Contains(f.Title, of) || !strings.HasSuffix(f.Title, "is stopped") {
		t.Errorf("%s %+v: %s", f.Severity, f.Subject, f.Title)
	}
	if len(f.Remedies) != 1 || f.Remedies[0].Action != "resume-process" {
		t.Errorf("remedies %+v", f.Remedies)
	}
	if all := r.of("runtime-hung"); len(all) != 1 || all[0].Subject.PID != pid || all[0].Severity != "critical" {
		t.Errorf("runtime-hung names another: %s", r.titles())
	}
	here.sexton(t, "why", fmt.Sprint(pid)).exits(t, findings).says(t, "stopped (state T)", f.ID)
	here.sexton(t, "ps").exits(t, clean).says(t, comm)
	return r
}

// A stopped daemon is named, nobody waits for it, and what it knows is missed.
func TestStoppedDocker(t *testing.T) {
	forget(t)
	d := startDocker(t)
	web := d.run("web", nil, "sleep", "1000")
	leavesNothing(t)
	here := world{docker: d.socket}
	t.Run("dockerd", func(t *testing.T) {
		stopDaemon(t, d.pid())
		r := namesStopped(t, here, "dockerd", "", d.pid())
		if why := r.unknown("docker at " + d.socket); why != fmt.Sprintf("not asked: dockerd (pid %d) is stopped", d.pid()) {
			t.Errorf("why there are no names: %q", why)
		}
		here.sexton(t, "why", web.id).exits(t, clean).says(t, "Container "+web.id[:12], "sleep (pid")
	})
	t.Run("containerd", func(t *testing.T) {
		pid := pidIn(t, d.dir+"/exec/containerd/containerd.pid")
		stopDaemon(t, pid)
		r := namesStopped(t, here, "containerd", "", pid)
		if why := r.unknown("docker at " + d.socket); why != "" {
			t.Errorf("dockerd was asked for what it asks containerd for: %q", why)
		}
		here.sexton(t, "why", "web").exits(t, clean).says(t, "Container web (docker")
	})
	t.Run("shim", func(t *testing.T) {
		shim := web.shim()
		stopDaemon(t, shim)
		namesStopped(t, here, "containerd-shim", "of container web", shim)
	})
	t.Run("all run on", func(t *testing.T) {
		hosttest.Until(t, soon, "docker answers", func() bool { return d.ping() == nil })
		r := here.scan(t, clean)
		if len(r.of("hung-task")) != 0 || len(r.Unknown) != 0 {
			t.Errorf("after SIGCONT: %s", r.titles())
		}
	})
}

// shim is the pid of the container's.
func (c *container) shim() int { return parentOf(c.d.t, c.pid) }

func parentOf(t testing.TB, pid int) int {
	t.Helper()
	stat := statOf(pid)
	if stat.state == "" {
		t.Fatalf("process %d is gone", pid)
	}
	return stat.parent
}

func pidIn(t testing.TB, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// A container that was frozen behind docker's back is found; one that docker paused is not.
func TestFrozen(t *testing.T) {
	d := startDocker(t)
	ice := d.run("ice", nil, "sleep", "1000")
	paused := d.run("paused", nil, "sleep", "1000")
	d.do("pause", paused.id)
	t.Cleanup(func() { d.do("unpause", paused.id) })
	leavesNothing(t)
	here := world{docker: d.socket}
	group := filepath.Join(filepath.Base(work), "docker", ice.id)
	t.Run("frozen", func(t *testing.T) {
		freeze(t, group)
		r := here.scan(t, findings)
		f := r.only(t, "hung-task", "ice")
		if f.Subject.Kind != "container" || f.Subject.Container != ice.id || !strings.HasPrefix(f.Title, "container ice is frozen") || !strings.Contains(f.Cause, `"running", not paused`) {
			t.Errorf("%+v: %s. %s", f.Subject, f.Title, f.Cause)
		}
		if len(f.Holders) != 1 || f.Holders[0].PID != ice.pid || len(f.Remedies) != 1 || f.Remedies[0].Action != "thaw" {
			t.Errorf("holders %+v, remedies %+v", f.Holders, f.Remedies)
		}
		if n := len(r.of("hung-task")); n != 1 {
			t.Errorf("%d findings, want 1: %s", n, r.titles())
		}
		here.sexton(t, "why", "ice").exits(t, findings).says(t, "container ice is frozen")
		here.sexton(t, "why", "paused").exits(t, clean).says(t, "paused")
		here.sexton(t, "ps").exits(t, clean).says(t, "clock_nanosleep; frozen]")
	})
	t.Run("thawed", func(t *testing.T) {
		if r := here.scan(t, clean); len(r.of("hung-task")) != 0 {
			t.Error(r.titles())
		}
	})
}

// freeze freezes a cgroup until the end of the test.
func freeze(t *testing.T, group string) {
	t.Helper()
	dir := filepath.Join(controller("freezer"), group)
	file, on, off := dir+"/cgroup.freeze", "1", "0"
	seen := func() bool {
		text, _ := os.ReadFile(dir + "/cgroup.events")
		return strings.Contains(string(text), "frozen 1")
	}
	if fileExists(dir + "/freezer.state") {
		file, on, off = dir+"/freezer.state", "FROZEN", "THAWED"
		seen = func() bool { text, _ := os.ReadFile(file); return strings.HasPrefix(string(text), on) }
	}
	if err := os.WriteFile(file, []byte(on), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, []byte(off), 0); err != nil {
			t.Error(err)
		}
	})
	hosttest.Until(t, soon, "frozen", seen)
}
