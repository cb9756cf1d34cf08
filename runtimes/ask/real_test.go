package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes"
	"sexton.dev/runtimes/runtimestest"
)

// inside names the directory of the test that runs as PID 1 of its own PID
// namespace, with a /run of its own: whatever it starts ends with it, and the
// runtimes listen where they do on a host.
const inside = "SEXTON_TEST_INSIDE"

// group is below which all containers of the test have their cgroups.
func group(dir string) string { return "/sexton-test-" + filepath.Base(filepath.Dir(dir)) }

const (
	enough = time.Minute // for what is healthy
	brief  = 2 * time.Second
)

func TestRealRuntimes(t *testing.T) {
	if dir := os.Getenv(inside); dir != "" {
		realRuntimes(t, dir)
		return
	}
	hosttest.NeedsRoot(t)
	for need, names := range map[string][]string{"containerd": {"containerd", "ctr", "runc"}, "docker": {"dockerd"}, "busybox": {"busybox"}} {
		for _, name := range names {
			_, err := exec.LookPath(name)
			hosttest.Needs(t, need, err == nil, "apt-get install containerd runc docker.io busybox-static")
		}
	}
	dir := t.TempDir()
	t.Cleanup(func() { removeCgroups(t, group(dir)) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^TestRealRuntimes$")
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestRealRuntimes/docker")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// removeCgroups removes what runtimes leave of cgroups when they are killed.
func removeCgroups(t *testing.T, name string) {
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup" + name, "/sys/fs/cgroup/*" + name} {
		tops, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, top := range tops {
			filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, p)
				}
				return nil
			})
		}
	}
	slices.Reverse(all)
	for _, p := range all {
		hosttest.Until(t, 5*time.Second, "rmdir "+p, func() bool { return os.Remove(p) == nil })
	}
}

func realRuntimes(t *testing.T, dir string) {
	for _, m := range [][2]string{{"proc", "/proc"}, {"tmpfs", "/run"}, {"tmpfs", dir}} {
		if err := unix.Mount("none", m[1], m[0], 0, ""); err != nil {
			t.Fatalf("mount %s: %v", m[1], err)
		}
	}
	image := writeImage(t, dir)
	containerd := start(t, dir, "containerd", "--config", writeConfig(t, dir))
	sockets := func() []runtimes.Socket { return runtimes.Sockets("/", func(string) string { return "" }) }
	hosttest.Until(t, enough, "containerd listens", func() bool { return len(sockets()) == 2 })
	found := sockets()

	t.Run("empty", func(t *testing.T) {
		for _, s := range found {
			if a := healthy(t, s); len(a.Containers) > 0 || !strings.Contains(a.Version, "1.") {
				t.Errorf("%+v", a)
			}
		}
	})
	t.Run("containerd", func(t *testing.T) { testContainerd(t, dir, found[0], containerd) })
	t.Run("cri", func(t *testing.T) { testCRI(t, dir, image, found) })
	t.Run("docker", func(t *testing.T) { testDocker(t, dir, found[0], containerd) })
	if t.Failed() {
		for _, log := range []string{"containerd.log", "dockerd.log"} {
			text, err := os.ReadFile(filepath.Join(dir, log))
			t.Logf("%s (%v):\n%s", log, err, text)
		}
	}
}

func writeConfig(t *testing.T, dir string) string {
	t.Helper()
	// A machine without CAP_SYS_RESOURCE may not lower any oom_score_adj.
	text := fmt.Sprintf(`version = 2
root = %q
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
`, filepath.Join(dir, "root"), imageName)
	p := filepath.Join(dir, "containerd.toml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs a daemon until this process, PID 1 of its namespace, ends.
func start(t *testing.T, dir, name string, args ...string) int {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func ctr(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ctr", args...).CombinedOutput(); err != nil {
		t.Fatalf("ctr %q: %v\n%s", args, err, out)
	}
}

// healthy asks a socket that must answer in full, and nothing of its secrets.
func healthy(t *testing.T, s runtimes.Socket) runtimes.Answer {
	t.Helper()
	var answer runtimes.Answer
	hosttest.Until(t, enough, string(s.Kind)+" answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var err error
		if answer, err = Ask(ctx, s); err != nil {
			t.Log(err)
		}
		return err == nil
	})
	b, err := json.Marshal(answer)
	if err != nil || bytes.Contains(b, []byte("SECRET")) {
		t.Errorf("%v: %s", err, b)
	}
	t.Logf("%s", b)
	return answer
}

// sick asks a socket of which something hangs.
func sick(t *testing.T, s runtimes.Socket, part string, is error) runtimes.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brief)
	defer cancel()
	began := time.Now()
	answer, err := Ask(ctx, s)
	t.Logf("after %v: %v", time.Since(began), err)
	runtimestest.CheckError(t, err, part, is)
	return answer
}

// stopped stops a process for as long as f runs.
func stopped(t *testing.T, pid int, f func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	hosttest.Until(t, enough, "it is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && bytes.Contains(stat, []byte(") T "))
	})
	f()
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	ppid, err := strconv.Atoi(strings.Fields(after)[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}

// one returns the container that f accepts, of which there must be one.
func one(t *testing.T, a runtimes.Answer, f func(runtimes.Container) bool) runtimes.Container {
	t.Helper()
	var found []runtimes.Container
	for _, c := range a.Containers {
		if f(c) {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %+v", len(found), a.Containers)
	}
	return found[0]
}
