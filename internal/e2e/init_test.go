package e2e

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// ourInit is the container init under test.
func ourInit() string { return work + "/bin/sexton-init" }

// cleaner leaves a process that needs some seconds after TERM: in a session of its
// own with setsid in front. The main child ends at TERM with 3.
func cleaner(setsid, seconds string) string {
	return setsid + ` sh -c 'trap "sleep ` + seconds + `; echo clean; exit" TERM; echo ready; while :; do sleep 0.05; done' &
trap "exit 3" TERM; while :; do sleep 0.05; done`
}

// stop stops a container and returns how long that took.
func (c *container) stop() time.Duration {
	c.d.t.Helper()
	began := time.Now()
	c.d.do("stop", c.id)
	return time.Since(began)
}

func (c *container) wantExit(code int) {
	c.d.t.Helper()
	if got := c.inspect("{{.State.ExitCode}}"); got != strconv.Itoa(code) {
		c.d.t.Errorf("%s: exit code %s, want %d; logs:\n%s", c.name, got, code, c.logs())
	}
}

func (c *container) logs() string {
	out, _ := c.d.command("logs", c.id).CombinedOutput()
	return string(out)
}

// As dockerd's --init-path, under tini's name.
func TestInitOfDocker(t *testing.T) {
	sandboxed(t)
	link := work + "/bin/docker-init"
	data, err := os.ReadFile(ourInit())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(link, data, 0o755); err != nil {
		t.Fatal(err)
	}
	d := startDockerWith(t, link)
	if info := d.do("info"); !strings.Contains(info, "Init Binary: "+link) || !strings.Contains(info, "init version: sexton-") {
		t.Errorf("docker info:\n%s", info)
	}
	c := d.run("init", []string{"--init"}, "sh", "-c", `(sleep 0.1 &); sleep 0.5; echo ready; exec sleep 1000`).ready()
	if left := zombies(c.pid); len(left) > 0 {
		t.Errorf("zombies %v", left)
	}
	if comm, _ := os.ReadFile("/proc/" + strconv.Itoa(c.pid) + "/comm"); string(comm) != "docker-init\n" {
		t.Errorf("process 1 is %q", comm)
	}
	if took := c.stop(); took > 5*time.Second {
		t.Errorf("stop took %v", took)
	}
	c.wantExit(143)

	drain := d.run("drain", []string{"--init", "-e", "SEXTON_INIT_DRAIN=1"}, "sh", "-c", cleaner("setsid", "1")).ready()
	drain.stop()
	drain.wantExit(3)
	if logs := drain.logs(); !strings.Contains(logs, "clean") {
		t.Errorf("what was left did not finish; logs:\n%s", logs)
	}
}

// As an image's entrypoint: what is left has the time that it needs.
func TestInitAsEntrypoint(t *testing.T) {
	d := startDocker(t)
	entry := []string{"--entrypoint", "/sexton-init"}
	same := d.run("same-session", entry, "--", "sh", "-c", cleaner("", "3"))
	own := d.run("own-session", entry, "--", "sh", "-c", cleaner("setsid", "3"))
	readonly := d.run("readonly", append([]string{"--read-only", "--user", "65534", "--security-opt", "no-new-privileges", "--cap-drop", "ALL"}, entry...),
		"--", "sh", "-c", cleaner("setsid", "1"))
	for _, c := range []*container{same, own, readonly} {
		c.ready()
		took := c.stop()
		c.wantExit(3)
		if logs := c.logs(); !strings.Contains(logs, "clean") || took > 10*time.Second {
			t.Errorf("%s: stop took %v; logs:\n%s", c.name, took, logs)
		}
	}

	visited := d.run("visited", entry, "--", "sh", "-c", `echo ready; trap "exit 3" TERM; while :; do sleep 0.05; done`).ready()
	d.do("exec", "-d", visited.id, "sh", "-c", `trap "sleep 1; echo clean > /proc/1/fd/1; exit" TERM; echo guest > /proc/1/fd/1; while :; do sleep 0.05; done`)
	hosttest.Until(t, soon, "a guest by docker exec", func() bool { return strings.Contains(visited.logs(), "guest") })
	visited.stop()
	visited.wantExit(3)
	if logs := visited.logs(); !strings.Contains(logs, "clean") {
		t.Errorf("what came by docker exec did not finish; logs:\n%s", logs)
	}
}

// An image from scratch, with the init and one program and nothing else.
func TestInitFromScratch(t *testing.T) {
	d := startDocker(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, from := range map[string]string{"sexton-init": ourInit(), "busybox": busybox} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data))})
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	load := d.command("import", "--change", `ENTRYPOINT ["/sexton-init", "--"]`, "-", "scratch-init")
	load.Stdin = &b
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := &container{d: d, name: "scratch", id: d.do("run", "-d", "--network=none", "scratch-init", "/busybox", "sleep", "1000")}
	c.pid = c.number("{{.State.Pid}}")
	hosttest.Until(t, soon, "the program runs", func() bool { return len(children(c.pid)) > 0 })
	if took := c.stop(); took > 5*time.Second {
		t.Errorf("stop took %v", took)
	}
	c.wantExit(143)
	missing, _ := d.command("run", "--rm", "--network=none", "scratch-init", "/nothing").CombinedOutput()
	if !strings.Contains(string(missing), "/nothing: No such file or directory") {
		t.Errorf("output:\n%s", missing)
	}
}

// children lists the living children of a process.
func children(pid int) []string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
	return strings.Fields(string(text))
}

// In a PID namespace that containers share, as those of a pod may, the init signals
// what is its own and nothing else.
func TestInitInSharedNamespace(t *testing.T) {
	d := startDocker(t)
	const bystander = `trap "echo told" TERM; echo ready; while :; do sleep 0.05; done`
	pause := d.run("pause", nil, "sleep", "1000")
	other := d.run("other", []string{"--pid", "container:" + pause.id}, "sh", "-c", bystander).ready()
	ours := d.run("ours", []string{"--pid", "container:" + pause.id, "--entrypoint", "/sexton-init"}, "--", "sh", "-c", cleaner("setsid", "1")).ready()
	ours.stop()
	ours.wantExit(3)
	if logs := ours.logs(); !strings.Contains(logs, "clean") {
		t.Errorf("what was left did not finish; logs:\n%s", logs)
	}
	if logs := other.logs(); strings.Contains(logs, "told") {
		t.Errorf("another container's process was signalled; logs:\n%s", logs)
	}
	d.do("rm", "-f", other.id)

	one := d.run("one", []string{"--entrypoint", "/sexton-init"}, "--", "sh", "-c", cleaner("setsid", "1")).ready()
	guest := d.run("guest", []string{"--pid", "container:" + one.id}, "sh", "-c", bystander).ready()
	one.stop()
	one.wantExit(3)
	if logs := guest.logs(); strings.Contains(logs, "told") {
		t.Errorf("as process 1 it signalled another container's process; logs:\n%s", logs)
	}
}

// made runs scripts of the project in a directory that holds the init, as make image does.
func made(t *testing.T) func(argv ...string) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	run := func(argv ...string) string {
		t.Helper()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("cp", "-r", root+"/docs", root+"/LICENSE", root+"/scripts", ".")
	run("mkdir", "-p", "bin/"+runtime.GOARCH)
	run("cp", ourInit(), "bin/"+runtime.GOARCH+"/sexton-init")
	return run
}

// The image that make image makes.
func TestInitImage(t *testing.T) {
	d := startDocker(t)
	make := made(t)
	file, _, _ := strings.Cut(make("scripts/image.sh", "e2e", runtime.GOARCH, "sexton-init"), ":")
	d.do("load", "-i", make("realpath", file))
	if got := d.do("run", "--rm", "--network=none", "sexton-init:e2e", "/sexton-init", "--version"); !strings.HasPrefix(got, "sexton-init ") {
		t.Errorf("output %q", got)
	}
}

// The package offers the init under the peers' names, leaves a peer's own program
// alone, and is gone when it is removed.
func TestInitPackage(t *testing.T) {
	d := startDocker(t)
	_, err := exec.LookPath("dpkg-deb")
	hosttest.Needs(t, "dpkg", err == nil, "a Debian machine")
	base := loadBaseImage(t, d)
	make := made(t)
	file := make("realpath", make("scripts/deb.sh", "v1.2.3", runtime.GOARCH))
	inside := func(script string) string {
		return d.do("run", "--rm", "--network=none", "-v", file+":/init.deb", "--entrypoint", "/bin/sh", base, "-c", "set -e; "+script)
	}
	got := inside(`dpkg -i /init.deb >/dev/null 2>&1
for name in tini docker-init dumb-init catatonit my_init; do readlink /etc/alternatives/$name; done
tini --version; dumb-init sh -c "exit 0"; tini -e 5 -- sh -c "exit 5"
dpkg -r sexton-init >/dev/null 2>&1; ls /usr/bin/tini /usr/bin/sexton-init 2>&1 | grep -c "No such file"`)
	want := `/usr/lib/sexton-init/tini
/usr/lib/sexton-init/docker-init
/usr/lib/sexton-init/dumb-init
/usr/lib/sexton-init/catatonit
/usr/lib/sexton-init/my_init
tini version 0.19.0`
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\n2") {
		t.Errorf("output:\n%s", got)
	}
	got = inside(`echo real >/usr/bin/tini; dpkg -i /init.deb >/dev/null 2>&1; cat /usr/bin/tini; dpkg -P sexton-init >/dev/null 2>&1; cat /usr/bin/tini`)
	if got != "real\nreal" {
		t.Errorf("a tini that was there: %q", got)
	}
}
