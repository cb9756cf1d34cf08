package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// A manager is a real systemd of this package's own. It is a user's manager, which
// needs not be the first process, with its runtime directory at /run: so it answers
// where the system's does, by the same API, and runs services in the same way.
type manager struct {
	t   testing.TB
	cmd *exec.Cmd
}

const (
	units   = "/run/systemd/system" // also tells systemd that it runs the host
	systemd = "/lib/systemd/systemd"
	// exitAtOnce is SIGRTMIN+24 of the C library: systemd(1) "SIGNALS".
	exitAtOnce = syscall.Signal(34 + 24)
)

func startSystemd(t testing.TB) *manager {
	t.Helper()
	sandboxed(t)
	_, err := exec.LookPath("systemctl")
	hosttest.Needs(t, "systemd", err == nil && fileExists(systemd), systemd+" is missing: scripts/install-test-needs.sh")
	m := &manager{t: t}
	none := filepath.Join(units, "none") // no generators
	if err := os.MkdirAll(none, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"default", "basic", "shutdown", "exit"} {
		m.write(name+".target", "[Unit]\nDefaultDependencies=no\n")
	}
	enter := ""
	tops := []string{"/sys/fs/cgroup"} // version 2
	if !fileExists("/sys/fs/cgroup/cgroup.controllers") {
		tops = []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"}
	}
	for _, top := range tops {
		if !fileExists(top + "/cgroup.procs") {
			continue
		}
		group := filepath.Join(top, filepath.Base(work), "manager")
		if err := os.MkdirAll(group, 0o755); err != nil {
			t.Fatal(err)
		}
		enter += "echo $$ >" + group + "/cgroup.procs; "
	}
	log, err := os.Create(filepath.Join(work, "systemd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command("sh", "-ec", enter+"exec "+systemd+" --user")
	m.cmd.Stdout, m.cmd.Stderr = log, log
	m.cmd.Env = append(m.env(), "SYSTEMD_LOG_TARGET=console", "SYSTEMD_UNIT_PATH="+units, "SYSTEMD_GENERATOR_PATH="+none, "SYSTEMD_ENVIRONMENT_GENERATOR_PATH="+none)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	hosttest.Until(t, soon, "systemd answers", func() bool {
		is := exec.Command("systemctl", "--user", "is-active", "default.target")
		is.Env = m.env()
		return is.Run() == nil
	})
	return m
}

func (m *manager) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + work, "TMPDIR=" + work, "XDG_RUNTIME_DIR=/run"}
}

func (m *manager) stop() {
	m.cmd.Process.Signal(syscall.SIGCONT)
	if err := m.cmd.Process.Signal(exitAtOnce); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Error(err)
	}
	late := time.AfterFunc(soon, func() { m.cmd.Process.Kill() })
	m.cmd.Wait()
	if !late.Stop() {
		m.t.Error("systemd did not end")
	}
	if err := os.RemoveAll("/run/systemd"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Error(err)
	}
}

// write makes a unit file.
func (m *manager) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(units, name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// ctl runs systemctl.
func (m *manager) ctl(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("timeout", append([]string{"60", "systemctl", "--user"}, args...)...)
	cmd.Env = m.env()
	text, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(work, "systemd.log"))
		m.t.Fatalf("systemctl %s: %v: %s\n%s", strings.Join(args, " "), err, text, log)
	}
	return strings.TrimSpace(string(text))
}

// service is a unit file. It begins as systemd's own do, without what it orders after.
func service(settings ...string) string {
	return "[Unit]\nDefaultDependencies=no\n[Service]\n" + strings.Join(settings, "\n") + "\n"
}

// A service keeps a container's mount. What systemd has loaded of it is told, not
// what its file says since, and a systemd that hangs costs a second and no finding.
func TestUnitAsLoaded(t *testing.T) {
	m := startSystemd(t)
	d := startDocker(t)
	w := world{docker: d.socket}
	c := d.run("leaked", shareable, "sh", "-c", "echo ready; exec sleep 1000").ready()
	shm := c.shm()
	sleep := "ExecStart=" + busybox + " sleep 1000"
	m.write("keeper.service", service(sleep, "MountFlags=private", "ReadOnlyPaths=/usr /etc"))
	m.ctl("daemon-reload")
	m.ctl("start", "keeper.service")
	t.Cleanup(func() { m.ctl("stop", "keeper.service") })
	c.ended(shm)
	keeper := func(f finding) bool { return f.Subject.Name == "keeper.service" }
	evidence := func(f finding) string { return oneLine(fmt.Sprint(f.Evidence)) }

	f := w.wantFinding(t, "private-unit", keeper)
	if e := evidence(f); !strings.Contains(e, "/keeper.service:5 MountFlags=private") || !strings.Contains(e, "/keeper.service:6 ReadOnlyPaths=") || strings.Contains(e, "NeedDaemonReload") {
		t.Errorf("evidence %s", e)
	}

	m.write("keeper.service", service(sleep, "ProtectHome=yes", "ReadOnlyPaths=/usr /etc"))
	hosttest.Until(t, soon, "systemd sees that the file was changed", func() bool {
		return m.ctl("show", "-P", "NeedDaemonReload", "keeper.service") == "yes"
	})
	f = w.wantFinding(t, "private-unit", keeper)
	for _, want := range []string{"{loaded by systemd MountFlags=private}", "NeedDaemonReload=yes; the files say now: no MountFlags, ProtectHome=yes (", "/keeper.service:6 ReadOnlyPaths="} {
		if e := evidence(f); !strings.Contains(e, want) {
			t.Errorf("no %q in evidence %s", want, e)
		}
	}

	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.cmd.Process.Signal(syscall.SIGCONT); forget(t) }) // before it is asked to stop the unit
	for _, why := range []string{"no answer in time", "not asked: it was silent before"} {
		r := w.scan(t, findings)
		if got := r.unknown("what systemd has loaded"); !strings.Contains(got, why) {
			t.Errorf("unknown %q, want %q: %s", got, why, r.titles())
		}
		if f := r.only(t, "private-unit", "keeper.service"); !strings.Contains(evidence(f), "/keeper.service:5 ProtectHome=yes") {
			t.Errorf("evidence %s", evidence(f))
		}
	}
}
