package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

func podmanDirs() (dir, run string) { return filepath.Join(work, "podman"), "/run/p" }

// podmanArgs is what timeout(1) runs podman with, on storage of its own.
func podmanArgs(args ...string) []string {
	dir, run := podmanDirs()
	return append([]string{"60", "podman", "--root", dir + "/root", "--runroot", run + "/root", "--tmpdir", run + "/tmp", "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"}, args...)
}

// startPodman returns a function that runs podman with storage of its own.
func startPodman(t *testing.T) func(args ...string) string {
	t.Helper()
	sandboxed(t)
	for _, name := range []string{"podman", "conmon", "runc"} {
		_, err := exec.LookPath(name)
		hosttest.Needs(t, "podman", err == nil, name+" is missing: scripts/install-test-needs.sh")
	}
	dir, run := podmanDirs()
	podman := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("timeout", podmanArgs(args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + work, "TMPDIR=" + work}
		if args[0] == "import" {
			cmd.Stdin = bytes.NewReader(rootTar(t))
		}
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("podman %s: %v: %s", strings.Join(args, " "), err, complaint.String())
		}
		return strings.TrimSpace(string(out))
	}
	t.Cleanup(func() {
		podman("rm", "-f", "-a", "-t", "0")
		for _, at := range mountPoints(t) {
			if strings.HasPrefix(at, dir+"/") || strings.HasPrefix(at, run+"/") {
				syscall.Unmount(at, syscall.MNT_DETACH)
			}
		}
		os.RemoveAll(dir)
		os.RemoveAll(run)
	})
	podman("import", "-q", "-", image)
	return podman
}

// As podman's --init-path, which mounts the init at /run/podman-init and calls it
// by that name.
func TestInitOfPodman(t *testing.T) {
	podman := startPodman(t)
	run := func(name string, options []string, argv ...string) string {
		args := append([]string{"run", "-d", "--network=none", "--cgroup-parent", "/" + filepath.Base(work) + "/podman", "--log-driver=k8s-file", "--init", "--init-path", ourInit(), "--name", name}, options...)
		return podman(append(append(args, image), argv...)...)
	}
	for _, tt := range []struct {
		name    string
		options []string
		want    string
	}{
		{"drain", []string{"-e", "SEXTON_INIT_DRAIN=1"}, "clean"},
		{"plain", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := run(tt.name, tt.options, "sh", "-c", cleaner("setsid", "1"))
			hosttest.Until(t, soon, "it is ready", func() bool { return podman("logs", id) == "ready" })
			pid := podman("inspect", "-f", "{{.State.Pid}}", id)
			if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); string(comm) != "podman-init\n" {
				t.Errorf("process 1 is %q", comm)
			}
			began := time.Now()
			podman("stop", id)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("stop took %v", took)
			}
			if code := podman("inspect", "-f", "{{.State.ExitCode}}", id); code != "3" {
				t.Errorf("exit code %s, want 3", code)
			}
			if logs := podman("logs", id); strings.Contains(logs, "clean") != (tt.want != "") {
				t.Errorf("logs:\n%s", logs)
			}
		})
	}
}
