package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	sd "sexton.dev/linux/systemd"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/docker"
)

// These try the acts of the runtimes' packages one by one, each on a real runtime.
// actTime is what one may take.
const actTime = time.Minute

func acting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), actTime)
	t.Cleanup(cancel)
	return ctx
}

// refused checks an error of an act by its sentinel and a part of its text.
func refused(t *testing.T, err, is error, part string) {
	t.Helper()
	if !errors.Is(err, is) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want %v with %q", err, is, part)
	}
}

func (c *container) runNow(ctx context.Context) runtimes.Run {
	c.d.t.Helper()
	run, err := docker.Inspect(ctx, runtimes.Docker, c.d.socket, c.id)
	if err != nil {
		c.d.t.Fatal(err)
	}
	return run
}

// A container whose removal failed stays Dead, for ever if nobody asks again. What
// makes it fail here is that its layers cannot be written: on kernels from 3.15 on a
// mount in another namespace does not.
func TestRetryRemoveDocker(t *testing.T) {
	d := startDocker(t)
	ctx := acting(t)
	c, other := d.run("leftover", nil, "sleep", "1000"), d.run("other", nil, "sleep", "1000")
	remove := func(id string) error { return docker.Remove(ctx, runtimes.Docker, d.socket, id) }
	refused(t, remove(c.id), runtimes.ErrRefused, `it is "running"`)
	refused(t, remove(c.id[:12]), runtimes.ErrRefused, "not a full id")
	refused(t, remove("leftover"), runtimes.ErrRefused, "not a full id")
	d.do("stop", "-t", "1", c.id)
	refused(t, remove(c.id), runtimes.ErrRefused, `it is "exited"`)

	layers := filepath.Join(work, filepath.Base(d.dir), storage(t))
	readOnly(t, layers)
	if text, err := d.command("rm", c.id).CombinedOutput(); err == nil || !strings.Contains(string(text), "read-only") {
		t.Fatalf("docker rm: %v: %s", err, text)
	}
	if state := c.inspect("{{.State.Status}}"); state != "dead" {
		t.Fatalf("it is %s", state)
	}
	err := remove(c.id)
	refused(t, err, err, "sexton why "+c.id[:12])
	if state := c.inspect("{{.State.Status}}"); state != "dead" {
		t.Fatalf("after a retry in vain it is %s", state)
	}
	if err := syscall.Unmount(layers, 0); err != nil {
		t.Fatal(err)
	}
	if err := remove(c.id); err != nil {
		t.Fatal(err)
	}
	refused(t, remove(c.id), runtimes.ErrGone, "404")
	if text, err := d.command("inspect", c.id).CombinedOutput(); err == nil {
		t.Errorf("it is there: %s", text)
	}
	if state := other.inspect("{{.State.Status}}"); state != "running" {
		t.Errorf("the other one is %s", state)
	}
}

// readOnly makes a directory read-only by a mount on itself.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

func TestRestartHolderDocker(t *testing.T) {
	d := startDocker(t)
	ctx := acting(t)
	c := d.run("holder", nil, "sh", "-c", "trap 'exit 0' TERM; echo ready; sleep 1000 & wait")
	was := c.runNow(ctx)
	if was.PID != c.pid || was.State != "running" {
		t.Fatalf("%+v, want pid %d", was, c.pid)
	}
	restart := func(was runtimes.Run) (runtimes.Run, error) {
		return docker.Restart(ctx, runtimes.Docker, d.socket, was)
	}
	wrong := was
	wrong.Started = was.Started.Add(-time.Second)
	_, err := restart(wrong)
	refused(t, err, runtimes.ErrRefused, "this is another run of it")
	wrong = was
	wrong.PID++
	_, err = restart(wrong)
	refused(t, err, runtimes.ErrRefused, "this is another run of it")
	wrong = was
	wrong.ID = was.ID[:12]
	_, err = restart(wrong)
	refused(t, err, runtimes.ErrRefused, "not a full id")
	if now := c.runNow(ctx); now != was {
		t.Fatalf("refused, and its run is %+v, not %+v", now, was)
	}

	now, err := restart(was)
	if err != nil {
		t.Fatal(err)
	}
	if now.ID != was.ID || now.PID == was.PID || !now.Started.After(was.Started) || fileExists(fmt.Sprintf("/proc/%d", was.PID)) {
		t.Errorf("before %+v, now %+v", was, now)
	}
	_, err = restart(was) // a second time would be one too many
	refused(t, err, runtimes.ErrRefused, "this is another run of it")
	d.do("pause", c.id)
	_, err = restart(now)
	refused(t, err, runtimes.ErrRefused, `it is "paused"`)
	d.do("unpause", c.id)
	d.do("stop", "-t", "1", c.id)
	_, err = restart(now)
	refused(t, err, runtimes.ErrRefused, "another run") // it has no pid
}

func TestRestartHolderUnit(t *testing.T) {
	m := startSystemd(t)
	ctx := acting(t)
	m.write("holder.service", service("ExecStart="+busybox+" sleep 1000"))
	m.write("slow.service", service("ExecStart="+busybox+" sleep 1000", "ExecStop="+busybox+" sleep 30", "TimeoutStopSec=6"))
	m.write("broken.service", service("ExecStartPre="+busybox+" test ! -e /run/broken", "ExecStart="+busybox+" sleep 1000"))
	m.ctl("daemon-reload")
	m.ctl("start", "holder.service", "slow.service", "broken.service")
	t.Cleanup(func() { m.ctl("stop", "holder.service", "slow.service", "broken.service") })
	runOf := func(unit string) sd.Run {
		t.Helper()
		run, err := sd.RunOf(ctx, "", unit)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	was := runOf("holder.service")
	if want := m.ctl("show", "-P", "InvocationID", "holder.service"); was.Invocation != want || was.MainPID == 0 {
		t.Errorf("%+v, want invocation %s", was, want)
	}
	for _, wrong := range []sd.Run{{MainPID: was.MainPID + 1, Invocation: was.Invocation}, {MainPID: was.MainPID, Invocation: strings.Repeat("0", 32)}} {
		_, err := sd.Restart(ctx, "", "holder.service", wrong)
		refused(t, err, sd.ErrRefused, "scan again")
	}
	_, err := sd.Restart(ctx, "", "nobody.service", was)
	refused(t, err, sd.ErrRefused, "no such unit loaded")
	if now := runOf("holder.service"); now != was {
		t.Fatalf("refused, and it is %+v, not %+v", now, was)
	}
	now, err := sd.Restart(ctx, "", "holder.service", was)
	if err != nil || now.MainPID == was.MainPID || now.Invocation == was.Invocation || fileExists(fmt.Sprintf("/proc/%d", was.MainPID)) {
		t.Errorf("before %+v, now %+v, %v", was, now, err)
	}

	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = sd.Restart(short, "", "slow.service", runOf("slow.service"))
	refused(t, err, context.DeadlineExceeded, "systemctl list-jobs")
	_, err = sd.Restart(ctx, "", "slow.service", sd.Run{MainPID: 1})
	refused(t, err, sd.ErrRefused, `it is "deactivating"`)

	if err := os.WriteFile("/run/broken", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = sd.Restart(ctx, "", "broken.service", runOf("broken.service"))
	refused(t, err, sd.ErrFailed, "journalctl -u broken.service")
	_, err = sd.Restart(ctx, "", "broken.service", sd.Run{MainPID: 1})
	refused(t, err, sd.ErrRefused, `it is "failed"`)
}

// Podman's service speaks docker's API, as far as its containers go.
func TestRestartHolderPodman(t *testing.T) {
	podman := startPodman(t)
	id := podman("run", "-d", "--network=none", "--cgroup-parent", "/"+filepath.Base(work)+"/podman", "--log-driver=k8s-file", "--name", "holder", image, "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
	socket := "/run/p.sock"
	service := exec.Command("timeout", podmanArgs("system", "service", "--time=0", "unix://"+socket)...)
	service.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + work, "TMPDIR=" + work}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Process.Signal(syscall.SIGTERM); service.Wait() })
	hosttest.Until(t, actTime, "podman's service listens", func() bool { return fileExists(socket) })
	ctx := acting(t)
	was, err := docker.Inspect(ctx, runtimes.Podman, socket, id)
	if err != nil {
		t.Fatal(err)
	}
	wrong := was
	wrong.Started = was.Started.Add(time.Second)
	_, err = docker.Restart(ctx, runtimes.Podman, socket, wrong)
	refused(t, err, runtimes.ErrRefused, "another run")
	refused(t, docker.Remove(ctx, runtimes.Podman, socket, id), runtimes.ErrRefused, `it is "running"`)
	now, err := docker.Restart(ctx, runtimes.Podman, socket, was)
	if err != nil || now.PID == was.PID || !now.Started.After(was.Started) {
		t.Errorf("before %+v, now %+v, %v", was, now, err)
	}
	if pid := podman("inspect", "-f", "{{.State.Pid}}", id); pid != fmt.Sprint(now.PID) {
		t.Errorf("podman says pid %s, not %d", pid, now.PID)
	}
}
