package e2e

import (
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

	"sexton.dev/internal/hosttest"
)

// orphaned is a script that leaves three dead children to the process that runs it.
const orphaned = `for n in 1 2 3; do (setsid sh -c "sleep 0.1 &"); done; `

// orphanedBy is orphaned for a first process that is a shell, and then a program by
// this name: as long as it is a shell it reaps whoever ends, so they live on until then.
func orphanedBy(name string) string {
	return `for n in 1 2 3; do (setsid sh -c "sh -c \"until grep -q ` + name + ` /proc/1/comm; do sleep 0.02; done\" &"); done; `
}

// The host's own first process is not reaped for, whoever it is.
func TestHealFirstProcess(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	first := h.start(t, `unshare --pid --fork --kill-child --mount --mount-proc bash -c '`+orphanedBy("first")+`as first'`, "first")
	inside := func(args ...string) run {
		return h.exec(t, append([]string{"nsenter", "-t", strconv.Itoa(first), "-p", "-m", sexton()}, args...)...)
	}
	outer := h.outer(t, first)
	hosttest.Until(t, soon, "its orphans are dead", func() bool { return len(zombies(outer)) == 3 })
	p := inside("heal", quick, "--apply", "--yes", "--nested", "--max-risk", "disruptive", "--journal", "/run/sexton/j", "-o", "json").exits(t, clean).plan(t)
	if len(p.Steps) != 0 || len(p.Unplanned) != 1 || !strings.HasPrefix(p.Unplanned[0].Finding, "unreaped-children/1.") {
		t.Errorf("it is planned for: %s", p.run)
	}
	inside("heal", quick, "1", "--nested").exits(t, clean).says(t, "there is no act for it", "start it below an init, such as sexton-init")
	if n := len(zombies(outer)); n != 3 {
		t.Errorf("%d dead children are left", n)
	}
}

// Root of a user namespace has no right over a container outside of it: it is told so.
func TestHealForeignUser(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	h.sexton(t, "lab", "up", "zombies", "--on-this-host", "--for", "3m").exits(t, clean)
	t.Cleanup(func() { h.sexton(t, "lab", "down") })
	before := h.state(t)
	p := h.exec(t, "unshare", "--user", "--map-root-user", sexton(), "heal", quick, "--apply", "--yes", "--nested", "--max-risk", "disruptive", "--journal", "/run/sexton/j", "-o", "json").
		exits(t, unhealed).plan(t)
	refusedBecause(t, p, "reap-by-ptrace", "may not be traced: permission denied: run as root of the host, outside of any user namespace")
	same(t, "refused", before, h.state(t), true, nil)
}

// A container whose filter would kill it for a waitid(2) of which it knows nothing
// stays as it is.
func TestHealFiltered(t *testing.T) {
	d := startDocker(t)
	w := world{docker: d.socket}
	profile := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["waitid"],"action":"SCMP_ACT_KILL"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := d.run("filtered", []string{"--security-opt=seccomp=" + profile}, "sleep", "1000")
	command(t, "nsenter", "-t", strconv.Itoa(c.pid), "-p", "sh", "-c", orphaned) // docker exec would be killed
	hosttest.Until(t, soon, "its orphans are dead", func() bool { return len(zombies(c.pid)) == 3 })
	same := livesOn(t, c)
	s := w.treat(t, "disruptive", unhealed).only(t, "reap-by-ptrace", "refused")
	if s.Target.PID != c.pid || !strings.Contains(s.Why, "does not let waitid pass: it answers 0x0: ") {
		t.Errorf("%+v", s)
	}
	same()
	if n := len(zombies(c.pid)); n != 3 {
		t.Errorf("%d dead children are left", n)
	}
}

// A plan whose mount has another one over it by now is refused, and says by which.
func TestHealStale(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	at := filepath.Join(t.TempDir(), shm)
	h.start(t, fmt.Sprintf(`mkdir -p %[1]s; mount -t tmpfs shm %[1]s
		unshare -m --propagation private bash -c 'as keeper' & until grep -q keeper /proc/[0-9]*/comm; do sleep 0.02; done
		umount %[1]s; as owner`, at), "owner")
	heal := []string{"heal", "--interval=0", "--apply", "--yes"}
	planned := h.sexton(t, "heal", "--interval=0", "-o", "json").exits(t, clean)
	if n := len(planned.plan(t).with("unmount-in-namespace")); n != 1 {
		t.Fatal(planned)
	}
	file, enter := filepath.Join(t.TempDir(), "plan"), []string{"nsenter", "-t", strconv.Itoa(h.pid("keeper")), "-m"}
	writePlan(t, file, planned.stdout)
	h.exec(t, append(enter, "mount", "-t", "tmpfs", "over", at)...).exits(t, clean)
	before := h.state(t)
	stale := append(heal, "--plan", file, "--journal", "/run/sexton/j")
	p := h.sexton(t, append(stale, "-o", "json")...).exits(t, unhealed).plan(t)
	refusedBecause(t, p, "unmount-in-namespace", at+" is mounted on it; unmount that first, if nobody needs it")
	same(t, "refused", before, h.state(t), false, nil)
	h.exec(t, append(enter, "umount", at)...).exits(t, clean)
	if p = h.sexton(t, append(stale, "-o", "json")...).exits(t, clean, unhealed).plan(t); len(p.is("done")) != 1 {
		t.Errorf("as it was planned: %s", p.run)
	}
	h.sexton(t, "heal", "--interval=0", "--plan", file).exits(t, clean).says(t, "not-needed it is gone already")
}

// waiting is a first process that waits for children of its own all the time, and
// writes down at its end how many it had and of how many the status was another one.
const waiting = `
import signal, subprocess, sys
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
had = lost = 0
open("/proc/self/comm", "w").write("waiting")
while not stop:
    want = had % 200
    lost += subprocess.run(["/bin/sh", "-c", "exit %d" % want]).returncode != want
    had += 1
open(sys.argv[1], "w").write("%d %d" % (had, lost))`

// A parent that waits for its own children and not for those that it was given loses
// no status of its own, while the others are reaped for it over and over.
func TestHealStealsNothing(t *testing.T) {
	sandboxed(t)
	python, err := exec.LookPath("python3")
	hosttest.Needs(t, "python3", err == nil, "scripts/install-test-needs.sh")
	h := newHost(t, slow)
	said, program := filepath.Join(t.TempDir(), "said"), filepath.Join(t.TempDir(), "waiting.py")
	if err := os.WriteFile(program, []byte(waiting), 0o644); err != nil {
		t.Fatal(err)
	}
	first := h.start(t, fmt.Sprintf("exec unshare --pid --fork --mount --mount-proc %s %s %s", python, program, said), "waiting")
	outer := h.outer(t, first)
	for range 5 {
		h.exec(t, "nsenter", "-t", strconv.Itoa(first), "-p", "-m", "bash", "-c", orphaned).exits(t, clean)
		hosttest.Until(t, soon, "its orphans are dead", func() bool { // its own child may be for a moment
			dead := zombies(outer)
			time.Sleep(50 * time.Millisecond)
			return len(slices.DeleteFunc(zombies(outer), func(pid int) bool { return !slices.Contains(dead, pid) })) == 3
		})
		p := h.sexton(t, "heal", quick, "--apply", "--yes", "--max-risk", "disruptive", "--journal", "/run/sexton/j", "-o", "json").exits(t, clean).plan(t)
		if s := p.only(t, "reap-by-ptrace", "done"); len(s.Target.Children) != 3 || s.Target.PID != first {
			t.Errorf("%+v", s)
		}
	}
	if err := syscall.Kill(outer, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, soon, "it has ended", func() bool { return h.pid("waiting") == 0 })
	var had, lost int
	text, err := os.ReadFile(said)
	if _, bad := fmt.Sscan(string(text), &had, &lost); err != nil || bad != nil || had < 50 || lost != 0 {
		t.Errorf("%v, %v: of %d statuses %d were lost", err, bad, had, lost)
	}
	t.Logf("%d children of its own, and of each the status", had)
}
