package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

const (
	// findInit sets $pid to the container's init.
	findInit = `pid=$(sed 's/.*"init_process_pid":\([0-9]*\).*/\1/' $state); until grep -q wait_for_partner /proc/$pid/wchan; do sleep 0.01; done`
	// loseInit kills the init, and lets what runc wrote of it mean another process: so
	// a runc of today waits for ever, as one before 1.0.0-rc5 does for an init that has ended.
	// The init is gone before runc starts: one that still ends has the fifo open, and runc reads nothing from it.
	loseInit = findInit + `; kill -9 $pid; while grep -qs '^State:.[^Z]' /proc/$pid/status; do sleep 0.01; done; other=$PPID; since=$(cut -d' ' -f22 /proc/$other/stat)
sed -i "s/\"init_process_pid\":[0-9]*/\"init_process_pid\":$other/; s/\"init_process_start\":[0-9]*/\"init_process_start\":$since/" $state`
	stopInit = findInit + `; kill -STOP $pid; until grep -q '^State:.T' /proc/$pid/status; do sleep 0.01; done`
	// holdOpen has the fifo open until the program runs, so that runc's open ends and its read waits.
	holdOpen = stopInit + `; (while grep -q runc: /proc/$pid/comm; do sleep 0.1; done) 9<>$root/$id/exec.fifo >/dev/null 2>&1 &`
)

// startOld is a moment longer than after which a start that hangs counts.
const startOld = 11 * time.Second

// A hanging is a container whose start does not end.
type hanging struct {
	id    string
	start chan string // what docker start said at last
}

// hang makes a container whose start hangs, and waits until runc waits in its fifo.
func (d *dockerd) hang(name, runtime string) hanging {
	d.t.Helper()
	d.t.Cleanup(freeRuntime)
	h := hanging{d.do("create", "--runtime="+runtime, "--name", name, "--network=none", image, "sleep", "1000"), make(chan string, 1)}
	go func() {
		text, err := d.commandFor("300", "start", name).CombinedOutput()
		h.start <- fmt.Sprintf("%v: %s", err, text)
	}()
	hosttest.Until(d.t, soon, "runc waits for the init of "+name, func() bool { return len(inFifo("runc", h.id)) == 1 })
	return h
}

// ended waits until docker start has ended.
func (h hanging) ended(t *testing.T) string {
	t.Helper()
	select {
	case text := <-h.start:
		return text
	case <-time.After(soon):
		t.Fatal("docker start hangs")
		return ""
	}
}

// reader is the runc that waits in the fifo.
func (h hanging) reader(t *testing.T) int {
	t.Helper()
	all := inFifo("runc", h.id)
	if len(all) == 1 {
		return all[0]
	}
	select {
	case text := <-h.start:
		t.Fatalf("docker start has ended: %s", text)
	default:
		t.Fatalf("%d processes wait in the fifo", len(all))
	}
	return 0
}

// inFifo lists the processes of this name that wait in a container's fifo.
func inFifo(comm, id string) (out []int) {
	for _, pid := range pids() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if statOf(pid).comm != comm || !strings.Contains(string(line), id) {
			continue
		}
		if links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)); strings.Contains(string(line), "\x00start\x00") && slices.ContainsFunc(links, func(l string) bool {
			to, _ := os.Readlink(l)
			return filepath.Base(to) == "exec.fifo"
		}) {
			out = append(out, pid)
			continue
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid))
		for _, file := range tasks {
			if text, _ := os.ReadFile(file); string(text) == "wait_for_partner" {
				out = append(out, pid)
				break
			}
		}
	}
	return out
}

// fifoOf is the fifo of a container of docker's.
func (d *dockerd) fifoOf(t *testing.T, id string) string {
	t.Helper()
	for _, root := range []string{d.dir + "/exec/runtime-runc/moby", "/run/containerd/runc/moby", "/run/docker/runtime-*/moby", "/var/run/docker/runtime-*/moby"} {
		if found, _ := filepath.Glob(filepath.Join(root, id, "exec.fifo")); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("the container has no exec.fifo")
	return ""
}

// docker start hangs as long as runc waits for an init that does not come. One whose init
// has ended is let go; one whose init is stopped goes on and starts; and an init that
// docker gave up is ended, and its task deleted.
func TestExecFifo(t *testing.T) {
	d := startDocker(t, runtimeOf(t, "losing", loseInit), runtimeOf(t, "stopping", stopInit))
	w := world{docker: d.socket, containerd: d.dir + "/exec/containerd/containerd.sock", patience: 2 * time.Minute}
	other := d.run("other", nil, "sleep", "1000")
	same := livesOn(t, other)
	leftover, lost := d.hang("leftover", "stopping"), d.hang("lost", "losing")
	giveUp(t, d, leftover)

	time.Sleep(startOld)
	select {
	case text := <-lost.start:
		t.Fatalf("docker start lost does not hang: %s", text)
	default:
	}
	t.Run("found", func(t *testing.T) {
		if !d.waits("inspect", lost.id) {
			t.Error("docker inspects it: its lock is not held")
		}
		r := w.sexton(t, "scan", "--check", "exec-fifo", "-o", "json").exits(t, findings).report(t)
		f := r.only(t, "exec-fifo", "lost")
		reader := inFifo("runc", lost.id)
		if f.Severity != "critical" || len(f.Holders) != 1 || len(reader) != 1 || f.Holders[0].PID != reader[0] || !strings.Contains(f.Cause, "those of containerd-shim") {
			t.Errorf("%+v", f)
		}
		var seen string
		for _, e := range f.Evidence {
			seen += e.Text + "\n"
		}
		for _, part := range []string{"runc 1.", "containerd 1.", "docker ", "has the fix of runc#1698"} {
			if !strings.Contains(seen, part) {
				t.Errorf("the evidence has no %q:\n%s", part, seen)
			}
		}
	})
	t.Run("not above the risk", func(t *testing.T) {
		w.treat(t, "safe", unhealed, "--check", "exec-fifo").only(t, "unblock-exec-fifo", "refused")
		if len(inFifo("runc", lost.id)) != 1 {
			t.Error("it was let go")
		}
	})
	t.Run("let go", func(t *testing.T) {
		shim := parentOf(t, lost.reader(t))
		done := w.treat(t, "disruptive", clean, "--check", "exec-fifo")
		s := done.only(t, "unblock-exec-fifo", "done")
		if s.Target.Container != lost.id {
			t.Errorf("%+v", s)
		}
		w.dumped(t, done, s, map[int]string{d.pid(): "for containerd to answer", d.containerd(): "for the shim to answer", shim: "for runc"})
		if text := lost.ended(t); !strings.Contains(text, "exit status 1") {
			t.Errorf("docker start lost: %s", text)
		}
		hosttest.Until(t, soon, "docker inspects it", func() bool { return d.answers("inspect", lost.id) })
	})
	t.Run("left behind", func(t *testing.T) {
		var init int
		hosttest.Until(t, 90*time.Second, "the init has been left for a minute", func() bool {
			r := w.sexton(t, "scan", "--interval=500ms", "--check", "exec-fifo", "-o", "json").exits(t, clean, findings).report(t)
			for _, f := range r.of("exec-fifo") {
				init = f.Holders[0].PID
			}
			return init != 0
		})
		shim := parentOf(t, init)
		done := w.treat(t, "disruptive", clean, "--check", "exec-fifo")
		s := done.only(t, "unblock-exec-fifo", "done")
		w.dumped(t, done, s, map[int]string{d.pid(): "", d.containerd(): "", shim: ""}) // nobody waits any more
		if s.Target.Container != leftover.id || stateOf(s.Target.PID) != "" {
			t.Errorf("%+v is in state %q", s, stateOf(s.Target.PID))
		}
		moby := &containerd{daemon: daemon{t: t, socket: w.containerd}, space: "moby"}
		if tasks := moby.do("task", "ls"); strings.Contains(tasks, leftover.id) || !strings.Contains(tasks, other.id) {
			t.Errorf("tasks:\n%s", tasks)
		}
	})
	same()
}

// An init that is stopped is not given up, whether runc waits in the open of the fifo or
// has it open: it is let run on, and the container starts.
func TestExecFifoStopped(t *testing.T) {
	d := startDocker(t, runtimeOf(t, "stopping", stopInit), runtimeOf(t, "holding", holdOpen))
	w := world{docker: d.socket, patience: 2 * time.Minute}
	opening, reading := d.hang("opening", "stopping"), d.hang("reading", "holding")
	time.Sleep(startOld)
	r := w.sexton(t, "scan", "--check", "exec-fifo", "-o", "json").exits(t, findings).report(t)
	for name, says := range map[string]string{"opening": "in the open of", "reading": "is open for reading"} {
		f := r.only(t, "exec-fifo", name)
		if len(f.Remedies) != 1 || f.Remedies[0].Action != "resume-process" || !strings.Contains(f.Cause, "lives and is stopped") || !strings.Contains(f.Evidence[0].Text, says) {
			t.Errorf("%+v", f)
		}
	}
	p := w.sexton(t, "heal", "--apply", "--yes", quick, "--check", "exec-fifo", "--journal", filepath.Join(t.TempDir(), "j"), "-o", "json").exits(t, clean).plan(t)
	if done := p.with("resume-process"); len(done) != 2 || slices.ContainsFunc(done, func(s step) bool { return s.Status != "done" || s.Risk != "safe" }) {
		t.Errorf("%+v", p.Steps)
	}
	for name, h := range map[string]hanging{"opening": opening, "reading": reading} {
		if text := h.ended(t); !strings.HasPrefix(text, "<nil>") || d.do("inspect", "-f", "{{.State.Status}}", name) != "running" {
			t.Errorf("docker start %s: %s", name, text)
		}
	}
	if r := w.scan(t, clean); len(r.of("exec-fifo")) > 0 {
		t.Error(r.titles())
	}
}

// giveUp lets go of a start by hand while the init is stopped, and removes the container:
// docker forgets it, and the init stays.
func giveUp(t *testing.T, d *dockerd, h hanging) {
	t.Helper()
	fd, err := syscall.Open(d.fifoOf(t, h.id), syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	h.ended(t)
	d.do("rm", "-f", h.id)
}
