package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// stacked is what of the output of stacks matters here.
type stacked struct {
	Goroutines int
	Layer      string
	Conclusion string
	Dumps      []struct {
		Layer, Container string
		PID, Goroutines  int
		Still            int
	}
	Taken []struct {
		PID         int
		Layer, From string
	}
	Lost []string
}

// stacks asks a process for its dumps. Its output has goroutines in it, as a trace of
// sexton's own would have.
func (w world) stacks(t *testing.T, args ...string) stacked {
	t.Helper()
	w.patience = 30 * time.Second
	r := w.exec(t, append([]string{sexton(), "stacks", "-o", "json"}, args...)...).exits(t, clean)
	var s stacked
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return s
}

// Each daemon writes its dump when it is asked, which is found where that daemon
// writes; one that is stopped is not asked, and whoever the signal would kill lives on.
func TestStacksOfDaemons(t *testing.T) {
	forget(t)
	d := startDocker(t)
	web := d.run("web", nil, "sleep", "1000")
	other := d.run("other", nil, "sleep", "1000")
	containerd, shim := pidIn(t, d.dir+"/exec/containerd/containerd.pid"), web.shim()
	leavesNothing(t)
	here := world{docker: d.socket}
	dumps := func() []string {
		all, _ := filepath.Glob(d.dir + "/exec/goroutine-stacks-*")
		more, _ := filepath.Glob(fmt.Sprintf("%s/containerd.%d.stacks.log", work, containerd))
		return append(all, more...)
	}
	t.Run("looking asks nobody", func(t *testing.T) {
		here.scan(t, clean)
		here.sexton(t, "why", "web").exits(t, clean)
		log, _ := os.ReadFile(d.log)
		if all := dumps(); len(all) > 0 || strings.Contains(string(log), "goroutine stack dump") {
			t.Errorf("scan or why took dumps: %q", all)
		}
	})
	for _, tt := range []struct {
		layer, from, container string
		pid                    int
	}{
		{layer: "dockerd", from: d.dir + "/exec/goroutine-stacks-", pid: d.pid()},
		{layer: "containerd", from: fmt.Sprintf("%s/containerd.%d.stacks.log", work, containerd), pid: containerd},
		{layer: "shim", from: d.log, pid: shim, container: web.id},
		{layer: "shim", from: d.log, pid: other.shim(), container: other.id},
	} {
		t.Run("healthy "+tt.layer, func(t *testing.T) {
			s := here.stacks(t, fmt.Sprint(tt.pid))
			if s.Layer != tt.layer || s.Goroutines < 5 || len(s.Dumps) != 1 || len(s.Taken) != 1 || !strings.HasPrefix(s.Taken[0].From, tt.from) || s.Dumps[0].Container != tt.container {
				t.Errorf("%+v", s)
			}
			if !strings.Contains(s.Conclusion, "Nothing is blocked here") || len(s.Lost) > 0 {
				t.Errorf("%s %q", s.Conclusion, s.Lost)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		s := here.stacks(t, "--twice", "--interval", "1s", fmt.Sprint(d.pid()))
		if len(s.Dumps) != 2 || len(s.Taken) != 2 || s.Dumps[0].Goroutines < 5 || s.Dumps[1].Goroutines < 5 || s.Goroutines != s.Dumps[0].Goroutines+s.Dumps[1].Goroutines {
			t.Errorf("%+v", s)
		}
	})
	t.Run("refused", func(t *testing.T) {
		bystander := exec.Command("sleep", "1000")
		if err := bystander.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { bystander.Process.Kill(); bystander.Wait() })
		here.sexton(t, "stacks", fmt.Sprint(bystander.Process.Pid)).exits(t, failed).says(t, `it executes "sleep", which is none of dockerd, containerd`, "try:")
		here.sexton(t, "stacks", fmt.Sprint(web.pid)).exits(t, failed).says(t, "which is none of dockerd")
		for _, pid := range []int{bystander.Process.Pid, web.pid} {
			if state := stateOf(pid); state != "S" {
				t.Errorf("pid %d is in state %q", pid, state)
			}
		}
		world{uid: 65534, dir: "/"}.sexton(t, "stacks", fmt.Sprint(d.pid())).exits(t, failed).says(t, "permission denied", "try: run as root")
	})
	t.Run("stopped", func(t *testing.T) {
		for _, pid := range []int{d.pid(), containerd, shim} {
			t.Run(fmt.Sprint(pid), func(t *testing.T) {
				stopDaemon(t, pid)
				here.sexton(t, "stacks", fmt.Sprint(pid)).exits(t, failed).says(t, "it is stopped (state T) and writes no dump before it goes on", "try:")
			})
		}
	})
	t.Run("stopped between two dumps", func(t *testing.T) {
		r := stopsBetween(t, d.pid())
		d.signal(syscall.SIGCONT)
		r.exits(t, failed).says(t, "goroutines: ", "Nothing is blocked here", "it is stopped (state T)", "try:")
	})
	t.Run("hung", func(t *testing.T) {
		stopDaemon(t, containerd)
		asking := d.command("top", web.id)
		if err := asking.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { asking.Process.Signal(syscall.SIGTERM); asking.Wait() })
		hosttest.Until(t, soon, "dockerd waits for containerd", func() bool {
			return strings.Contains(here.stacks(t, fmt.Sprint(d.pid())).Conclusion, "waits less than a minute for containerd to answer")
		})
		s := here.stacks(t, "--twice", "--interval", "1500ms", fmt.Sprint(d.pid()))
		if len(s.Dumps) != 2 || s.Dumps[1].Still == 0 || !strings.Contains(s.Conclusion, "where an earlier dump has them") {
			t.Errorf("%+v", s)
		}
		here.sexton(t, "stacks", fmt.Sprint(shim)).exits(t, failed).says(t, fmt.Sprintf("containerd (pid %d), which has to write its log, is stopped", containerd))
	})
	hosttest.Until(t, soon, "docker answers", func() bool { return d.ping() == nil })
}

// stopsBetween asks a process for two dumps and stops it when the first one is there.
func stopsBetween(t *testing.T, pid int) run {
	t.Helper()
	cmd := exec.Command("timeout", "60", sexton(), "stacks", "--twice", "--interval", "5s", fmt.Sprint(pid))
	var stdout, stderr bytes.Buffer
	cmd.Stdout = &stdout
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if fmt.Fprintln(&stderr, lines.Text()); strings.HasPrefix(lines.Text(), "the second dump is taken in ") {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
		}
	}
	cmd.Wait()
	return run{argv: cmd.Args, code: exitCode(cmd.ProcessState), stdout: stdout.String(), stderr: stderr.String()}
}

// A containerd without docker has its dump and its shims' in places of its own.
func TestStacksOfContainerd(t *testing.T) {
	d := startContainerd(t)
	first := d.run("redis", "/bin/sleep", "1000")
	shim := parentOf(t, first)
	here := world{containerd: d.socket}
	if log, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", shim)); err != nil || filepath.Base(log) != "log" { // by which sexton sees whether its log is read
		t.Errorf("the shim's standard error is %q, %v", log, err)
	}
	for pid, want := range map[int]string{d.pid(): fmt.Sprintf("%s/containerd.%d.stacks.log", work, d.pid()), shim: d.log} {
		s := here.stacks(t, "--twice", "--interval", "1s", fmt.Sprint(pid))
		if len(s.Dumps) != 2 || s.Taken[0].From != want || s.Dumps[1].Goroutines < 5 || len(s.Lost) > 0 {
			t.Errorf("pid %d: %+v", pid, s)
		}
		if pid == shim && (s.Dumps[1].Container != "redis" || s.Dumps[1].PID != shim) {
			t.Errorf("%+v", s.Dumps)
		}
	}
}

// A dump of any size is read as a stream, and the whole program stays small.
func TestStacksLarge(t *testing.T) {
	sandboxed(t)
	size, most := 64<<20, int64(200<<20)
	if os.Getenv("SEXTON_VERIFY") == "full" {
		size = 1 << 30
	}
	cmd := exec.Command(sexton(), "stacks", "-", "-o", "json")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, written := 0, 0
	for b := make([]byte, 0, 1<<20); written < size; b = b[:0] {
		for len(b) < 1<<20-1000 {
			n++
			b = fmt.Appendf(b, "goroutine %d [semacquire, %d minutes]:\nsync.runtime_SemacquireMutex(0xc%09x, 0x0)\n\t/usr/lib/go/src/runtime/sema.go:77 +0x25\nsync.(*Mutex).Lock(0xc%09x)\n\t/usr/lib/go/src/sync/mutex.go:83 +0x1c4\n"+
				"github.com/docker/docker/daemon.(*Daemon).ContainerInspectCurrent(0xc000832000, {0xc%09x?, 0x40}, 0x0)\n\t/src/daemon/inspect.go:40 +0x79\n\n", n, n%90, n%1000*16, n%1000*16, n)
		}
		k, err := in.Write(b)
		if written += k; err != nil {
			t.Fatal(err)
		}
	}
	peak := peakOf(t, cmd.Process.Pid) // all is read but what the pipe holds
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var s stacked
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Goroutines != n || s.Layer != "dockerd" || len(s.Lost) > 1 {
		t.Errorf("%v: %d goroutines of %s, want %d; lost %q", err, s.Goroutines, s.Layer, n, s.Lost)
	}
	t.Logf("%d MB, %d goroutines, %d MB of memory, %v", written>>20, n, peak>>20, time.Since(began).Round(time.Millisecond))
	if peak > most {
		t.Errorf("%d MB of memory, want at most %d", peak>>20, most>>20)
	}
}

// peakOf is the most memory that a process had, in bytes: its rusage has that of the
// process that started it, too.
func peakOf(t *testing.T, pid int) (peak int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &peak); err != nil {
				t.Fatal(err)
			}
		}
	}
	return peak << 10
}
