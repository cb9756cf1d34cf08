package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// Each layer of a runtime that does not answer is named, with its container and what
// it waits in, in less than 8 s, whether docker ps answers or not.
func TestRuntimeHung(t *testing.T) {
	h := startHungHost(t)
	web := h.run("web", nil, "sleep", "1000")
	h.run("other", nil, "sleep", "1000")
	leavesNothing(t)
	h.quiet(t)
	t.Run("a containerd stopped", func(t *testing.T) {
		stopDaemon(t, h.c.pid())
		h.names(t, "containerd", "", h.c.pid(), "state T")
		if !h.answers("ps") || !h.waits("version") {
			t.Error("docker ps should answer, and docker version not")
		}
	})
	t.Run("b shim stopped", func(t *testing.T) {
		stopDaemon(t, web.shim())
		f := h.names(t, "shim", web.id, web.shim(), "state T")
		h.here.sexton(t, "why", "web").exits(t, findings).says(t, "is the first silent layer", "-> shim", "state T: it runs no code until it gets SIGCONT")
		if !h.answers("ps") || !h.answers("inspect", "other") || !h.waits("top", "web") {
			t.Error("docker ps and inspect other should answer, and top web not")
		}
		if len(f.Remedies) != 1 || f.Remedies[0].Action != "resume-process" || f.Remedies[0].Risk != "safe" {
			t.Errorf("%+v", f.Remedies)
		}
	})
	t.Run("c dockerd stopped", func(t *testing.T) {
		stopDaemon(t, h.pid())
		if !h.waits("ps") {
			t.Error("docker ps answers")
		}
		f := h.names(t, "dockerd", "", h.pid(), "state T")
		if len(f.Evidence) < 2 || !strings.Contains(f.Evidence[1].Text, "in the queue that nobody accepts") {
			t.Errorf("its queue is not told: %+v", f.Evidence)
		}
	})
	t.Run("d shim killed", func(t *testing.T) { h.shimKilled(t) })
	t.Run("f frozen", func(t *testing.T) {
		freeze(t, filepath.Join(filepath.Base(work), "docker", web.id))
		h.names(t, "program", web.id, web.pid, "frozen by cgroup")
	})
	t.Run("f2 killed in the kernel", func(t *testing.T) { h.inKernel(t) })
	t.Run("g many execs", func(t *testing.T) {
		var all []chan error
		for range 60 {
			all = append(all, h.pending("exec", "other", "true"))
		}
		h.quiet(t)
		for _, done := range all {
			<-done
		}
		h.quiet(t)
	})
	t.Run("log that nobody reads", func(t *testing.T) { h.deafLog(t) })
	t.Run("all answer", func(t *testing.T) {
		h.quiet(t)
		if !h.answers("inspect", "web") || !h.answers("version") {
			t.Error("docker does not answer")
		}
	})
}

// shimKilled ends a container by its shim, and nothing hangs.
func (h *hungHost) shimKilled(t *testing.T) {
	gone := h.run("gone", nil, "sleep", "1000")
	if err := syscall.Kill(gone.shim(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, soon, "its container ends", func() bool { return gone.inspect("{{.State.Status}}") == "exited" })
	h.quiet(t)
}

// inKernel has the first process of a container wait for a FUSE server that is gone.
func (h *hungHost) inKernel(t *testing.T) {
	at, keeper, die := heldFUSE(t)
	stuck := h.run("stuck", []string{"-v", at + ":/data"}, "cat", "/data/x")
	die()
	t.Cleanup(func() { syscall.Kill(keeper, syscall.SIGKILL) })
	if !h.waits("stop", "-t", "1", "stuck") {
		t.Error("docker stop succeeds")
	}
	hosttest.Until(t, soon, "it is in D", func() bool { return stateOf(stuck.pid) == "D" })
	if !h.answers("ps") {
		t.Error("docker ps does not answer")
	}
	h.names(t, "kernel", stuck.id, stuck.pid, "request_wait_answer")
}

// deafLog has a container log to a server that takes the connection and reads nothing.
func (h *hungHost) deafLog(t *testing.T) {
	at := filepath.Join(h.c.dir, "syslog.sock")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	taken := make(chan bool)
	go func() {
		defer close(taken)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held = append(held, c)
		}
	}()
	chatty := h.run("chatty", []string{"--log-driver=syslog", "--log-opt", "syslog-address=unix://" + at}, "sh", "-c", "while :; do echo a line of some length; done")
	t.Cleanup(func() {
		l.Close()
		<-taken
		for _, c := range held {
			c.Close()
		}
		h.do("rm", "-f", chatty.id)
	})
	var last string
	since := time.Now()
	hosttest.Until(t, soon, "it waits for a reader, and has not run for a second", func() bool {
		wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", chatty.pid))
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", chatty.pid))
		_, ran, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:") // with those that were forced on it
		if ran != last || !strings.HasSuffix(string(wchan), "pipe_write") {
			last, since = ran, time.Now()
		}
		return time.Since(since) > time.Second
	})
	f := h.names(t, "dockerd", chatty.id, h.pid(), "for who takes its lines further")
	if !strings.Contains(f.Evidence[0].Text, "pipe_write") || !h.answers("ps") {
		t.Errorf("%+v", f.Evidence)
	}
}

// runcsHang has one container whose exec never ends, (e), and one whose start waits
// for an init that never comes, (h); both are old enough when it returns.
func (h *hungHost) runcsHang(t *testing.T) (e *container, child, init int, started string) {
	t.Helper()
	e = h.run("exec-hangs", nil, "sleep", "1000")
	h.hang("exec")
	h.pending("exec", "exec-hangs", "true")
	child = childOf(t, e.shim())
	h.hang("init")
	h.pending("run", "--network=none", "--name", "start-hangs", image, "sleep", "1000")
	init = awaitProcess(t, "an init that is stopped", func(pid int) bool { return statOf(pid).comm == "runc:[2:INIT]" && stateOf(pid) == "T" })
	h.hang("")
	var at string
	hosttest.Until(t, soon, "docker lists it", func() bool { at = h.do("ps", "-aq", "--no-trunc", "-f", "name=start-hangs"); return at != "" })
	hosttest.Until(t, time.Minute, "a runc is 30 s old", func() bool { return ageOf(t, child) > 31*time.Second })
	return e, child, init, at
}

// ageOf is how long a process has been there.
func ageOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat := statOf(pid)
	if stat.state == "" {
		t.Fatalf("process %d is gone", pid)
	}
	var up float64
	text, err := os.ReadFile("/proc/uptime")
	if err == nil {
		_, err = fmt.Sscan(string(text), &up)
	}
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration((up - stat.start/100) * float64(time.Second))
}

// A runc that does not end and an init that never comes are named, each with its
// container; ended, docker inspect answers again; no look leaves more than one
// question behind in a daemon.
func TestRuntimeChildHung(t *testing.T) {
	h := startHungHost(t)
	e, child, init, started := h.runcsHang(t)
	if !h.answers("ps") || !h.waits("inspect", "exec-hangs") {
		t.Error("docker ps should answer, and inspect exec-hangs not")
	}
	before := h.goroutines(t)
	const scans = 3
	for range scans {
		h.twoHang(t, e, child, init, started)
	}
	for who, was := range before {
		if is := h.goroutines(t)[who]; is > was+scans {
			t.Errorf("%s has %d goroutines after %d scans, %d before", who, is, scans, was)
		} else {
			t.Logf("%s: %d goroutines before %d scans, %d after", who, was, scans, is)
		}
	}
	t.Run("heal", func(t *testing.T) {
		id := ""
		for _, f := range h.here.sexton(t, "scan", "-o", "json").exits(t, findings).report(t).of("runtime-hung") {
			if f.Subject.PID == child {
				id = f.ID
			}
		}
		p := h.here.treat(t, "disruptive", clean, id)
		h.here.dumped(t, p, p.only(t, "end-runtime-child", "done"), map[int]string{
			h.pid(): "waits less than a minute for containerd to answer", h.c.pid(): "for the shim to answer", e.shim(): "for runc",
		})
		if !h.answers("inspect", "exec-hangs") || !h.answers("exec", "exec-hangs", "true") {
			t.Error("docker inspect or exec does not answer")
		}
		if is := e.inspect("{{.State.Status}} {{.State.Pid}}"); is != fmt.Sprintf("running %d", e.pid) {
			t.Errorf("the container is %s", is)
		}
		for _, f := range h.here.sexton(t, "scan", "-o", "json").exits(t, findings).report(t).of("runtime-hung") {
			if f.Subject.PID == child {
				t.Errorf("still found: %s", f.Title)
			}
		}
	})
}

func (h *hungHost) twoHang(t *testing.T, e *container, child, init int, started string) {
	t.Helper()
	r := h.here.scan(t, findings)
	all := r.of("runtime-hung")
	if len(all) != 2 {
		t.Fatalf("%d findings, want 2: %s", len(all), r.titles())
	}
	for _, f := range all {
		if f.Subject.PID == init {
			f.isAt(t, "init", started, init, "state T")
			continue
		}
		f.isAt(t, "runc", e.id, child, "wait_for_partner")
		if !strings.Contains(f.Title, "was told to exec") || len(f.Remedies) != 1 || f.Remedies[0].Action != "end-runtime-child" {
			t.Errorf("%s: %+v", f.Title, f.Remedies)
		}
	}
}

// goroutines counts those of dockerd and containerd by their own dumps.
func (h *hungHost) goroutines(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for who, d := range map[string]struct {
		pid     int
		pattern string
	}{
		"dockerd":    {h.pid(), h.dir + "/exec/goroutine-stacks-*.log"},
		"containerd": {h.c.pid(), fmt.Sprintf("%s/containerd.%d.stacks.log", work, h.c.pid())},
	} {
		old, _ := filepath.Glob(d.pattern)
		for _, file := range old {
			os.Remove(file)
		}
		if err := syscall.Kill(d.pid, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		size := int64(-1)
		hosttest.Until(t, soon, who+"'s dump", func() bool {
			now, _ := filepath.Glob(d.pattern)
			if len(now) == 0 {
				return false
			}
			info, err := os.Stat(now[0])
			was := size
			if err == nil {
				size = info.Size()
			}
			text, _ := os.ReadFile(now[0])
			out[who] = strings.Count("\n"+string(text), "\ngoroutine ")
			return size > 0 && size == was
		})
	}
	return out
}
