package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
)

// A containerd is a private containerd that is spoken to by ctr.
type containerd struct {
	daemon
	space, root string // namespace, and the root directory of all containers
}

func startContainerd(t testing.TB) *containerd {
	t.Helper()
	return startContainerdBy(t, func(*containerd) string { return "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n" })
}

// startContainerdBy starts one with more lines in its configuration.
func startContainerdBy(t testing.TB, lines func(*containerd) string) *containerd {
	t.Helper()
	needsDocker(t)
	_, err := exec.LookPath("ctr")
	hosttest.Needs(t, "containerd", err == nil, "ctr is missing: scripts/install-test-needs.sh")
	// A ctr container's cgroup is /NAMESPACE/ID: the namespace is named as this run's cgroup is.
	d := &containerd{daemon: newDaemon(t, "c"), space: filepath.Base(work)}
	data := filepath.Join(work, filepath.Base(d.dir))
	t.Cleanup(func() { os.RemoveAll(data) })
	d.socket, d.root = d.dir+"/containerd.sock", data+"/image"
	config := filepath.Join(d.dir, "config.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\noom_score = 0\n%s[grpc]\naddress = %q\n", data+"/root", d.dir+"/state", lines(d), d.socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(d.root, 0o755); err != nil {
		t.Fatal(err)
	}
	unpack := exec.Command("tar", "-x", "-C", d.root)
	unpack.Stdin = bytes.NewReader(rootTar(t))
	if text, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack the image: %v: %s", err, text)
	}
	d.start(func() error { return d.command("version").Run() }, "containerd", "--config", config, "--log-level=warn")
	return d
}

func (d *containerd) command(args ...string) *exec.Cmd {
	return exec.Command("timeout", append([]string{"30", "ctr", "-a", d.socket, "-n", d.space}, args...)...)
}

func (d *containerd) do(args ...string) string {
	d.t.Helper()
	out, err := d.command(args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("ctr %s: %v: %s\n%s", strings.Join(args, " "), err, out, d.logged())
	}
	return string(out)
}

// run starts a container that is removed before the daemon ends, and returns the pid of its first process.
func (d *containerd) run(id string, argv ...string) int {
	d.t.Helper()
	d.do(append([]string{"run", "-d", "--rootfs", d.root, id}, argv...)...)
	d.t.Cleanup(func() {
		d.signal(syscall.SIGCONT)
		d.do("task", "rm", "-f", id)
		d.do("container", "rm", id)
	})
	return d.taskPID(id)
}

// taskPID is the pid of a running container's first process.
func (d *containerd) taskPID(id string) int {
	d.t.Helper()
	for line := range strings.Lines(d.do("task", "ls")) {
		if f := strings.Fields(line); f[0] == id {
			var pid int
			fmt.Sscan(f[1], &pid)
			return pid
		}
	}
	d.t.Fatalf("no task %s", id)
	return 0
}

// Containers of containerd without docker, whose ids are names, are attributed as well.
func TestContainerd(t *testing.T) {
	d := startContainerd(t)
	redis := d.run("redis", "/bin/sleep", "1000")
	const long = "a-name-that-is-longer-than-twelve-digits"
	own := d.run(long, "/e2e/children", "leave", "3", "ignored")
	d.do("task", "exec", "--exec-id", "one", "redis", "/bin/sh", "-c", "sleep 0.1 & sleep 0.1 &")
	for _, parent := range []int{redis, own} {
		hosttest.Until(t, soon, "zombies", func() bool { return len(zombies(parent)) >= 2 })
	}
	leavesNothing(t)
	here := world{containerd: d.socket}
	r := here.scan(t, findings)
	for _, tt := range []struct {
		id, cause string
		pid       int
	}{
		{"redis", "2 adopted orphans (sleep × 2) from 1 other session", redis},
		{long, "ignores SIGCHLD", own},
	} {
		f := r.only(t, "unreaped-children", tt.id)
		if f.Subject.Container != tt.id || f.Subject.PID != tt.pid || !strings.Contains(f.Cause, tt.cause) {
			t.Errorf("%s: %+v: %s", tt.id, f.Subject, f.Cause)
		}
		here.sexton(t, "why", "--interval=300ms", tt.id).exits(t, findings).says(t, "Container "+tt.id+" (containerd", f.ID)
	}
	if why := r.unknown(""); why != "" { // that it has no CRI is no lack
		t.Errorf("cannot tell: %s", r.titles())
	}
	t.Run("stopped", func(t *testing.T) {
		stopDaemon(t, d.pid())
		r := namesStopped(t, here, "containerd", "", d.pid())
		if why := r.unknown("containerd at " + d.socket); why != fmt.Sprintf("not asked: containerd (pid %d) is stopped", d.pid()) {
			t.Errorf("why there are no names: %q", why)
		}
	})
}
