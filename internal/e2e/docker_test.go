package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// image is what all containers are made of: busybox, our programs and links to
// the machine's libraries, which a container has if it mounts /usr.
const image = "sexton-e2e"

// A daemon is a runtime of this package's own.
type daemon struct {
	t      testing.TB
	dir    string // in /run: a socket's path is short
	socket string
	cmd    *exec.Cmd
	log    string
	ended  chan struct{}
}

// start runs a daemon until the test ends, and waits until it answers.
func (d *daemon) start(answers func() error, argv ...string) {
	d.t.Helper()
	log, err := os.Create(d.log)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + work, "TMPDIR=" + work}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.ended = make(chan struct{})
	go func() { d.cmd.Wait(); close(d.ended) }()
	d.t.Cleanup(d.stop)
	var last error
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if last = answers(); last == nil {
			return
		}
		select {
		case <-d.ended:
			d.t.Fatalf("%s ended: %v\n%s", argv[0], d.cmd.ProcessState, d.logged())
		default:
		}
	}
	d.t.Fatalf("%s does not answer: %v\n%s", argv[0], last, d.logged())
}

// stop ends the daemon in peace, or at least ends it.
func (d *daemon) stop() {
	d.signal(syscall.SIGCONT)
	d.signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(soon):
		d.t.Errorf("%s does not end\n%s", d.cmd.Path, d.logged())
		d.signal(syscall.SIGKILL)
		<-d.ended
	}
}

func (d *daemon) signal(s syscall.Signal) {
	if err := d.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Errorf("signal %v to %s: %v", s, d.cmd.Path, err)
	}
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

// logged returns the end of the daemon's log, without what it says when all is well.
func (d *daemon) logged() string {
	text, _ := os.ReadFile(d.log)
	var out []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "level=info") {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-20):], "")
}

// A dockerd is a private docker daemon with a containerd of its own.
type dockerd struct{ daemon }

// needsDocker says what the tests with docker need.
func needsDocker(t testing.TB) {
	t.Helper()
	sandboxed(t)
	for _, name := range []string{"dockerd", "docker", "containerd", "runc", "tini-static", "gcc"} {
		_, err := exec.LookPath(name)
		hosttest.Needs(t, "docker", err == nil, name+" is missing: scripts/install-test-needs.sh")
	}
	hosttest.Needs(t, "docker", fileExists(busybox), busybox+" is missing: scripts/install-test-needs.sh")
}

const busybox = "/bin/busybox"

// startDocker starts a private docker daemon, with the image loaded and tini as
// the init of docker run --init. more ends its command line.
func startDocker(t testing.TB, more ...string) *dockerd {
	t.Helper()
	tini, _ := exec.LookPath("tini-static")
	return startDockerWith(t, tini, more...)
}

func startDockerWith(t testing.TB, init string, more ...string) *dockerd {
	t.Helper()
	return startDockerBy(t, init, func(argv []string) []string { return append(argv, more...) })
}

// startDockerBy starts one whose command line is changed first.
func startDockerBy(t testing.TB, init string, by func(argv []string) []string) *dockerd {
	t.Helper()
	needsDocker(t)
	d := &dockerd{newDaemon(t, "d")}
	data := filepath.Join(work, filepath.Base(d.dir))
	config := filepath.Join(d.dir, "daemon.json") // not the machine's /etc/docker/daemon.json
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.wipe(data) })
	d.socket = d.dir + "/docker.sock"
	d.start(d.ping, by(d.argv(config, data, "--storage-driver", storage(t), "--init-path", init))...)
	t.Cleanup(d.removeAll)
	d.load(rootTar(t))
	return d
}

// load makes the tests' image of a tar.
func (d *dockerd) load(root []byte) {
	d.t.Helper()
	cmd := d.command("import", "-", image)
	cmd.Stdin = bytes.NewReader(root)
	if text, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("docker import: %v: %s", err, text)
	}
}

// argv is the command line of a daemon that touches nothing of the machine's.
func (d *dockerd) argv(config, data string, more ...string) []string {
	return append([]string{"dockerd", "--config-file", config, "--data-root", data, "--exec-root", d.dir + "/exec", "--pidfile", d.dir + "/pid",
		"-H", "unix://" + d.socket, "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false",
		"--cgroup-parent", "/" + filepath.Base(work) + "/docker", "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--oom-score-adjust=0", "--log-level=warn"}, more...)
}

// newDaemon makes the directory of a daemon. Its cleanup runs after the daemon's end.
func newDaemon(t testing.TB, name string) daemon {
	t.Helper()
	dir, err := os.MkdirTemp("/run", name)
	if err != nil {
		t.Fatal(err)
	}
	return daemon{t: t, dir: dir, log: filepath.Join(work, filepath.Base(dir)+".log")}
}

// wipe ends what outlives dockerd, which leaves containers and mounts if it had to be killed.
func (d *dockerd) wipe(data string) {
	for _, at := range mountPoints(d.t) {
		if strings.HasPrefix(at, data+"/") || strings.HasPrefix(at, d.dir+"/") {
			syscall.Unmount(at, syscall.MNT_DETACH)
		}
	}
	if err := errors.Join(os.RemoveAll(data), os.RemoveAll(d.dir)); err != nil {
		d.t.Errorf("the daemon's directories: %v", err)
	}
}

// removeAll removes the containers: a daemon that is told to end stops them one by one.
func (d *dockerd) removeAll() {
	d.signal(syscall.SIGCONT)
	if ids := strings.Fields(d.do("ps", "-aq")); len(ids) > 0 {
		d.do(append([]string{"rm", "-f"}, ids...)...)
	}
}

// storage names the driver that works where the data are: overlayfs does not work on itself.
func storage(t testing.TB) string {
	const overlayMagic = 0x794c7630
	var fs syscall.Statfs_t
	if err := syscall.Statfs(work, &fs); err != nil {
		t.Fatal(err)
	}
	kinds, _ := os.ReadFile("/proc/filesystems")
	if fs.Type == overlayMagic || !strings.Contains(string(kinds), "\toverlay\n") {
		return "vfs"
	}
	return "overlay2"
}

// ping is docker's own sign of life.
func (d *dockerd) ping() error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.socket)
		},
	}}
	reply, err := client.Get("http://docker/_ping")
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return errors.New(reply.Status)
	}
	return nil
}

func (d *dockerd) command(args ...string) *exec.Cmd { return d.commandFor("60", args...) }

// commandFor is command with another bound on its time, in seconds.
func (d *dockerd) commandFor(seconds string, args ...string) *exec.Cmd {
	cmd := exec.Command("timeout", append([]string{seconds, "docker"}, args...)...)
	cmd.Env = world{docker: d.socket}.env()
	return cmd
}

// answers reports whether a docker command ends, and well; a busy machine takes its time.
func (d *dockerd) answers(args ...string) bool { return d.answersWithin(soon, args...) }

// waits reports whether a docker command has not ended well after 3 s.
func (d *dockerd) waits(args ...string) bool { return !d.answersWithin(3*time.Second, args...) }

func (d *dockerd) answersWithin(most time.Duration, args ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = world{docker: d.socket}.env()
	cmd.WaitDelay = time.Second
	return cmd.Run() == nil && ctx.Err() == nil
}

// do runs a docker command and returns its stdout.
func (d *dockerd) do(args ...string) string {
	d.t.Helper()
	cmd := d.command(args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("docker %s: %v: %s\n%s", strings.Join(args, " "), err, complaint.String(), d.logged())
	}
	return strings.TrimSpace(string(out))
}

// A container is one container of a docker daemon.
type container struct {
	d        *dockerd
	name, id string
	pid      int // of its first process
}

// run starts a container of the tests' image. options are docker run's.
func (d *dockerd) run(name string, options []string, argv ...string) *container {
	d.t.Helper()
	return d.runOf(image, name, options, argv...)
}

// runOf starts a container of any image.
func (d *dockerd) runOf(image, name string, options []string, argv ...string) *container {
	d.t.Helper()
	args := append([]string{"run", "-d", "--network=none", "--name", name}, options...)
	c := &container{d: d, name: name, id: d.do(append(append(args, image), argv...)...)}
	c.pid = c.number("{{.State.Pid}}")
	return c
}

// create makes a container of the tests' image that is started later, when who is to see
// what happens in it looks already.
func (d *dockerd) create(name string, options []string, argv ...string) *container {
	d.t.Helper()
	args := append([]string{"create", "--network=none", "--name", name}, options...)
	return &container{d: d, name: name, id: d.do(append(append(args, image), argv...)...)}
}

func (c *container) inspect(format string) string { return c.d.do("inspect", "-f", format, c.id) }

func (c *container) number(format string) int {
	n, err := strconv.Atoi(c.inspect(format))
	if err != nil || n == 0 {
		c.d.t.Fatalf("docker inspect -f %s %s: %d, %v", format, c.name, n, err)
	}
	return n
}

// ready waits until the container's program says so.
func (c *container) ready() *container {
	c.d.t.Helper()
	hosttest.Until(c.d.t, soon, c.name+" says that it is ready", func() bool { return c.d.do("logs", c.id) == "ready" })
	return c
}

// leaveOrphans runs exec sessions that each leave two orphans, and waits until those have ended.
func (c *container) leaveOrphans(sessions int) {
	c.d.t.Helper()
	for range sessions {
		c.d.do("exec", c.id, "sh", "-c", "sleep 0.1 & sleep 0.1 &")
	}
}

// top returns the pids of the container's living processes with this comm.
func (c *container) top(comm string) []int {
	c.d.t.Helper()
	var out []int
	for line := range strings.Lines(c.d.do("top", c.id, "-eo", "pid,stat,comm")) {
		f := strings.Fields(line)
		if pid, err := strconv.Atoi(f[0]); err == nil && f[2] == comm && !strings.HasPrefix(f[1], "Z") {
			out = append(out, pid)
		}
	}
	return out
}

// zombies lists the dead children of a process, as the kernel says.
func zombies(parent int) []int {
	var out []int
	for _, pid := range pids() {
		if stat := statOf(pid); stat.state == "Z" && stat.parent == parent {
			out = append(out, pid)
		}
	}
	return out
}

// rootTar packs the image's file system.
func rootTar(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data []byte) {
		h.Size = int64(len(data))
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "usr", "proc", "sys", "dev", "tmp", "e2e"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil)
	}
	for _, name := range []string{"sh", "sleep", "true", "cat", "kill"} {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, nil)
	}
	for _, name := range []string{"lib", "lib64"} {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name}, nil)
	}
	for name, from := range map[string]string{"bin/busybox": busybox, "e2e/children": work + "/bin/children", "e2e/go-leaver": work + "/bin/go-leaver", "sexton-init": ourInit(),
		"e2e/leaver.py": "testdata/programs/leaver.py"} {
		data, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%v (%s)", err, runtime.GOARCH)
		}
		if err != nil {
			t.Fatal(err)
		}
		add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}, data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
