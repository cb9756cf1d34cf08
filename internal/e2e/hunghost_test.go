package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// A hungHost is a private dockerd above a private containerd, as a machine has them,
// whose runc hangs where a test wants it to.
type hungHost struct {
	*dockerd
	c    *containerd
	here world
	trap string // file with the operation of runc that hangs
}

// wholeScan is what a scan of a hung host may take.
const wholeScan = 8 * time.Second

// trapScript is a runc that hangs where its file says, the lab's.
const trapScript = "../../lab/trap.sh"

func startHungHost(t *testing.T) *hungHost {
	t.Helper()
	forget(t)
	c := startContainerd(t)
	h := &hungHost{c: c, trap: filepath.Join(c.dir, "trap")}
	runc, err := exec.LookPath("runc")
	var script []byte
	if err == nil {
		script, err = os.ReadFile(trapScript)
	}
	if err == nil {
		err = os.WriteFile(c.dir+"/runc", []byte(strings.NewReplacer("@dir@", c.dir, "@runc@", runc).Replace(string(script))), 0o755)
	}
	if err == nil {
		err = syscall.Mkfifo(c.dir+"/fifo", 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.endShims) // when dockerd has ended
	h.dockerd = startDocker(t, "--containerd", c.socket, "--add-runtime", "trap="+c.dir+"/runc", "--default-runtime", "trap")
	h.here = world{docker: h.socket, containerd: c.socket, patience: wholeScan}
	t.Cleanup(h.free)
	return h
}

// hang lets the next runc of an operation hang; "" lets none.
func (h *hungHost) hang(operation string) {
	h.t.Helper()
	if err := os.WriteFile(h.trap, []byte(operation), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// free ends all that hangs, and lets nothing more do so.
func (h *hungHost) free() {
	os.Remove(h.trap)
	freeRuntime()
}

// freeRuntime ends what hangs of runc, and lets run what is stopped: the daemons' own
// cleanup waits for it else.
func freeRuntime() {
	for _, pid := range pids() {
		switch {
		case strings.HasPrefix(statOf(pid).comm, "runc"):
			syscall.Kill(pid, syscall.SIGKILL)
		case stateOf(pid) == "T":
			syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// endShims ends what a dockerd that was ended amid a start leaves behind.
func (h *hungHost) endShims() {
	for _, pid := range pids() {
		if argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(argv), "containerd-shim") && strings.Contains(string(argv), h.c.socket) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// pending starts a docker command that is expected to hang. Its end is sent.
func (h *hungHost) pending(args ...string) chan error {
	cmd := exec.Command("docker", args...)
	cmd.Env = h.here.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cmd.Process.Kill() })
	go func() { done <- cmd.Wait() }()
	return done
}

// names is hungAt of this host.
func (h *hungHost) names(t *testing.T, layer, container string, pid int, waits ...string) finding {
	t.Helper()
	return h.here.hungAt(t, layer, container, pid, waits...)
}

// hungAt scans and fails the test unless runtime-hung has one finding, at this layer,
// of this container and process, which the ladder marks with a wait that has one of
// these parts. It returns the finding.
func (w world) hungAt(t *testing.T, layer, container string, pid int, waits ...string) finding {
	t.Helper()
	var r report
	hosttest.Until(t, soon, "it is told", func() bool { // not while it is at work, as a moment after it was asked for another thing
		os.Remove(memory)
		r = w.scan(t, clean, findings)
		return len(r.of("runtime-hung")) > 0
	})
	all := r.of("runtime-hung")
	if len(all) != 1 {
		t.Fatalf("%d findings, want 1: %s", len(all), r.titles())
	}
	all[0].isAt(t, layer, container, pid, waits...)
	return all[0]
}

func (f finding) isAt(t *testing.T, layer, container string, pid int, waits ...string) {
	t.Helper()
	if f.Subject.Container != container || f.Subject.PID != pid {
		t.Errorf("it is of container %.12q, pid %d; want %.12q, %d: %s", f.Subject.Container, f.Subject.PID, container, pid, f.Title)
	}
	var at []rung
	for _, r := range f.Ladder {
		if r.Silent {
			at = append(at, r)
		}
	}
	if len(at) != 1 || at[0].Layer != layer || !slices.ContainsFunc(waits, func(w string) bool { return strings.Contains(at[0].Wait, w) }) {
		t.Errorf("the first silent layer is %+v; want %s, which waits %q: %+v", at, layer, waits, f.Ladder)
	}
	t.Logf("%s\n%s", f.Title, drawn(f))
}

func drawn(f finding) string {
	var out []string
	for _, r := range f.Ladder {
		mark := "  "
		if r.Silent {
			mark = "->"
		}
		out = append(out, fmt.Sprintf("%s %-10s %s (%d): %s; %s", mark, r.Layer, r.Name, r.PID, r.Said, r.Wait))
	}
	return strings.Join(out, "\n")
}

// quiet fails the test if runtime-hung finds something.
func (h *hungHost) quiet(t *testing.T) {
	t.Helper()
	r := h.here.sexton(t, "scan", "-o", "json").exits(t, clean, findings).report(t)
	if all := r.of("runtime-hung"); len(all) > 0 {
		t.Errorf("%s\n%s", r.titles(), drawn(all[0]))
	}
}

// childOf waits for a runc below a process that waits for its log, and returns it.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	return awaitProcess(t, "a runc that hangs", func(pid int) bool {
		stat := statOf(pid)
		wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
		return stat.comm == "runc" && stat.state == "S" && stat.parent == parent && string(wchan) == "wait_for_partner"
	})
}
