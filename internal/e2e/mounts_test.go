package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
)

// unitIn starts a process in a mount namespace of its own, as unshare -m does, and
// returns when it is there.
func unitIn(t *testing.T, propagation, script string) int {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("unshare", "--mount", "--propagation", propagation, "sh", "-c", script+"; echo $$ >"+ready+"; exec sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	hosttest.Until(t, soon, "the unit is ready", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && len(text) > 1
	})
	return cmd.Process.Pid
}

// holders runs sexton holders and returns its answer, of which only the holders
// are read, and its exit code.
func holders(t *testing.T, w world, target string) (finding, int) {
	t.Helper()
	r := w.sexton(t, "holders", target, "-o", "json").exits(t, clean, findings)
	var h finding
	if err := json.Unmarshal([]byte(r.stdout), &h); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	narrowly(t, w, target)
	return h, r.code
}

// wantFinding scans and returns the one warning of a check that is meant.
func (w world) wantFinding(t *testing.T, check string, meant func(finding) bool) finding {
	t.Helper()
	all := w.scan(t, findings).of(check)
	var found []finding
	for _, f := range all {
		if f.Severity == "warning" && meant(f) {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d findings of %s are meant, want 1: %+v", len(found), check, all)
	}
	return found[0]
}

// shm is where docker mounts a container's shared memory. It unmounts it when the
// container ends and removes the directory, which takes the mount from everybody,
// only when the container is removed. Of merged it removes the directory at once.
func (c *container) shm() string {
	c.d.t.Helper()
	for _, at := range mountPoints(c.d.t) {
		if strings.HasSuffix(at, "/containers/"+c.id+"/mounts/shm") {
			return at
		}
	}
	c.d.t.Fatalf("no shared memory of %s is mounted here", c.name)
	return ""
}

// shareable lets docker mount the shared memory outside of the container, as it
// did for all until 18.06.
var shareable = []string{"--ipc", "shareable"}

// ended kills a container and waits until docker has unmounted what it had at a path.
func (c *container) ended(path string) {
	c.d.t.Helper()
	c.d.do("kill", c.id)
	hosttest.Until(c.d.t, soon, "docker has unmounted "+path, func() bool { return !slices.Contains(mountPoints(c.d.t), path) })
}

// A container was stopped, and a private clone of the mount namespace keeps its
// shared memory: the leak has the container's id and image, and the holder's name.
func TestLeakedByPrivateClone(t *testing.T) {
	d := startDocker(t)
	w := world{docker: d.socket}
	c := d.run("leaked", shareable, "sh", "-c", "echo ready; exec sleep 1000").ready()
	shm := c.shm()
	unit := unitIn(t, "private", "exec 9>"+shm+"/file")
	c.ended(shm)

	f := w.wantFinding(t, "leaked-mount", func(f finding) bool { return f.Subject.Container == c.id })
	if !strings.Contains(f.Title, "container leaked, image "+image) || !strings.Contains(f.Title, "(pid "+strconv.Itoa(unit)+")") {
		t.Errorf("title: %s", f.Title)
	}
	for _, target := range []string{shm, c.id, c.id[:12], "leaked"} {
		h, code := holders(t, w, target)
		if code != findings || len(h.Holders) == 0 || h.Holders[0].Kind != "process" || h.Holders[0].PID != unit {
			t.Errorf("holders %s: exit code %d, %+v", target, code, h.Holders)
		}
	}
	d.do("rm", c.id) // and with it the directory: only the open file is left
	f = w.wantFinding(t, "detached-mount", func(f finding) bool { return len(f.Holders) == 1 && f.Holders[0].PID == unit })
	if f.Holders[0].Kind != "fd" || f.Holders[0].FD != 9 {
		t.Errorf("held by %+v", f.Holders)
	}
}

// mountAt is mount(2) without a type and data.
func mountAt(t *testing.T, source, target string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount(source, target, "", flags, ""); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
}

// sharedRoot makes all mounts shared until the test ends, as systemd does.
func sharedRoot(t *testing.T) {
	t.Helper()
	sandboxed(t)
	mountAt(t, "", "/", syscall.MS_REC|syscall.MS_SHARED) // the sandbox's own
	t.Cleanup(func() { mountAt(t, "", "/", syscall.MS_REC|syscall.MS_PRIVATE) })
}

// withData starts containers by a function while the daemon's directory has another
// name as well: docker of today refuses its own directory without propagation.
func (d *dockerd) withData(t *testing.T, start func(alias string)) {
	t.Helper()
	const alias = "/run/alias"
	if err := os.MkdirAll(alias, 0o755); err != nil {
		t.Fatal(err)
	}
	mountAt(t, filepath.Join(work, filepath.Base(d.dir)), alias, syscall.MS_BIND|syscall.MS_REC)
	start(alias)
	mountAt(t, "", alias, syscall.MS_REC|syscall.MS_PRIVATE) // else its unmount takes the daemon's own along
	if err := syscall.Unmount(alias, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
}

// A container with the daemon's directory bound without propagation keeps another
// one's mounts: that container is named, and one that is told of unmounts is not.
func TestLeakedByHostPath(t *testing.T) {
	sharedRoot(t)
	d := startDocker(t)
	w := world{docker: d.socket}
	c := d.run("victim", shareable, "sh", "-c", "echo ready; exec sleep 1000").ready()
	var holder, follower *container
	d.withData(t, func(alias string) {
		holder = d.run("exporter", []string{"-v", alias + ":/host:rprivate"}, "sh", "-c", "echo ready; exec sleep 1000").ready()
		follower = d.run("follower", []string{"-v", alias + ":/host:rslave"}, "sh", "-c", "echo ready; exec sleep 1000").ready()
	})
	c.ended(c.shm())

	f := w.wantFinding(t, "leaked-mount", func(f finding) bool { return f.Subject.Container == c.id })
	if len(f.Holders) != 1 || f.Holders[0].Container != holder.id || !strings.Contains(f.Title, "container exporter") || !strings.Contains(f.Cause, "/host") {
		t.Errorf("held by %+v, not %s; the follower %s is none\n%s\n%s", f.Holders, holder.id, follower.id, f.Title, f.Cause)
	}
}

// command runs a command and returns what it says.
func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

// loopDevice makes a loop device with an empty ext4 on it, in a file. It ends with the test.
func loopDevice(t *testing.T) (device, disk string) {
	t.Helper()
	sandboxed(t)
	for _, name := range []string{"mkfs.ext4", "losetup"} {
		_, err := exec.LookPath(name)
		hosttest.Needs(t, "loop", err == nil, name+" is missing: scripts/install-test-needs.sh")
	}
	disk = filepath.Join(t.TempDir(), "disk")
	command(t, "truncate", "-s", "16M", disk)
	command(t, "mkfs.ext4", "-q", "-F", disk)
	device = command(t, "losetup", "--find", "--show", disk)
	t.Cleanup(func() {
		if attached(t, disk) { // else the number may be another's by now
			exec.Command("losetup", "--detach", device).Run()
		}
	})
	return device, disk
}

// attached reports whether a file is in a loop device. Other tests have some too, by
// the same numbers when they are free.
func attached(t *testing.T, disk string) bool {
	t.Helper()
	return command(t, "losetup", "--associated", disk) != ""
}

// mkfs refuses a loop device that the host's mount table does not have: another
// namespace does, and then, after rmdir, an open file alone.
func TestHeldLoopDevice(t *testing.T) {
	device, _ := loopDevice(t)
	point := filepath.Join(work, "loop/kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount")
	if err := os.MkdirAll(point, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(point, syscall.MNT_DETACH) })
	command(t, "mount", device, point)
	if err := os.WriteFile(filepath.Join(point, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	unit := unitIn(t, "private", "exec 9<"+point+"/file")
	command(t, "umount", point)
	if out, err := exec.Command("mkfs.ext4", device).CombinedOutput(); err == nil || !strings.Contains(string(out), "in use") {
		t.Errorf("mkfs does not refuse: %v: %s", err, out)
	}

	var w world
	named := func(f finding) bool { return f.Subject.Name == device }
	f := w.wantFinding(t, "held-device", named)
	if len(f.Holders) == 0 || f.Holders[0].PID != unit || f.Holders[0].Kind != "process" {
		t.Errorf("held by %+v, not process %d", f.Holders, unit)
	}
	w.wantFinding(t, "leaked-mount", func(f finding) bool { return f.Subject.Path == point })

	if err := errors.Join(os.Remove(point), os.Mkdir(point, 0o755)); err != nil { // takes the mount from everybody
		t.Fatal(err)
	}
	if tables := command(t, "sh", "-c", "grep -l "+device+" /proc/[0-9]*/mountinfo || :"); tables != "" {
		t.Errorf("still in %s", tables)
	}
	f = w.wantFinding(t, "held-device", named)
	if len(f.Holders) == 0 || f.Holders[0].PID != unit || f.Holders[0].Kind != "fd" || f.Holders[0].FD != 9 {
		t.Errorf("held by %+v, not file 9 of process %d", f.Holders, unit)
	}
	h, code := holders(t, w, device)
	if code != 3 || len(h.Holders) != 1 || h.Holders[0].FD != 9 {
		t.Errorf("holders %s: exit code %d, %+v", device, code, h)
	}
}
