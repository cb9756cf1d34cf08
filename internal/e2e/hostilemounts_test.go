package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// hostile starts this program in a hostile role, in a mount namespace of its own
// that is private, and returns it when it says that it is ready. It ends with the test.
func hostile(t *testing.T, role, dir string) (cmd *exec.Cmd, said *bufio.Reader) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe", dir)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	said = bufio.NewReader(out)
	if line, err := said.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s: %q, %v", role, line, err)
	}
	return cmd, said
}

// beHostile is the process that hostile starts.
func beHostile(role, dir string) int {
	runtime.LockOSThread()
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	switch {
	case err != nil:
	case role == "churn":
		err = churn(dir)
	default:
		err = deaf(dir)
	}
	fmt.Fprintln(os.Stderr, role+":", err)
	return 1
}

// churn mounts and unmounts as fast as the kernel lets it until it is killed, and
// prints how often it did. Each mount has the source that its place says, and
// takes the device number of one that has just gone.
func churn(dir string) error {
	const (
		batch = 64 // mounts that go in one call: each call that unmounts waits for all processors
		alive = 4  // batches that are there at a time, so that a look meets some
	)
	if err := unix.Mount("base", dir, "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	fmt.Println("ready")
	for n := 0; ; n += batch + 1 {
		top := filepath.Join(dir, fmt.Sprint("top-", n/(batch+1)%alive))
		switch err := os.Mkdir(top, 0o755); {
		case errors.Is(err, fs.ErrExist):
			if err := unix.Unmount(top, unix.MNT_DETACH); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if err := unix.Mount("source-of-top", top, "tmpfs", 0, "size=1m"); err != nil {
			return err
		}
		for i := range batch {
			name := fmt.Sprintf("churned-%d-%d", os.Getpid(), n+i)
			at := filepath.Join(top, name)
			if err := unix.Mkdir(at, 0o755); err != nil {
				return err
			}
			if err := unix.Mount("source-of-"+name, at, "tmpfs", 0, "size=4k"); err != nil {
				return err
			}
		}
		fmt.Println(n + batch + 1)
	}
}

// deaf mounts a FUSE file system of which no request is ever answered.
func deaf(dir string) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("deaf", dir, "fuse.deaf", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		unix.Pause()
	}
}

// While a namespace mounts and unmounts as fast as it can, and device numbers are
// used again all the time, holders and scan answer, and every name is right.
func TestChurn(t *testing.T) {
	sandboxed(t)
	dir := t.TempDir()
	still := filepath.Join(dir, "still")
	unit := unitIn(t, "private", fmt.Sprintf("set -e; mkdir %s; mount -t tmpfs still %[1]s", still))
	device := shellIn(t, unit, "mountpoint -d "+still)
	want := heldBy{Kind: "process", PID: unit, Path: still, MountNamespace: spaceOf(t, unit)}
	at := filepath.Join(dir, "churn")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	w := world{patience: 20 * time.Second}
	scan := func() (ids []string) {
		r := w.sexton(t, "scan", "--interval=0", "-o", "json").exits(t, clean, findings, cantTell).report(t)
		for _, check := range []string{"leaked-mount", "detached-mount", "busy-mount", "held-device", "mount-multiplication"} {
			for _, f := range r.of(check) {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	before := scan()
	// Two, so that a number goes from one namespace to the other while both are read.
	began := time.Now()
	churners := map[int]*exec.Cmd{}
	done := make(chan int)
	for range 2 {
		cmd, said := hostile(t, "churn", at)
		churners[cmd.Process.Pid] = cmd
		go func() { done <- lastNumber(said) }()
	}

	looks, names := 0, 0
	for time.Since(began) < 5*time.Second || names == 0 && time.Since(began) < 20*time.Second {
		whoHolds(t, w, device).names(t, want)
		h := askWho(t, w, "churned-")
		for _, m := range h.Mounts {
			if names++; m.Source != "source-of-"+filepath.Base(m.Path) {
				t.Errorf("%s is said to be of %s", m.Path, m.Source)
			}
		}
		for _, who := range h.Holders {
			if churners[who.PID] == nil && who.Kind != "submount" {
				t.Errorf("held by %+v", who)
			}
		}
		if found := scan(); !slices.Equal(found, before) {
			t.Errorf("found %q, before %q: nothing is wrong with what comes and goes", found, before)
		}
		looks++
	}
	took := time.Since(began)
	n := 0
	for _, cmd := range churners {
		cmd.Process.Kill()
		n += <-done
	}
	if n == 0 || names == 0 {
		t.Errorf("%d mounts, %d names seen: it proves nothing", n, names)
	}
	t.Logf("%.0f mounts and as many unmounts a second; %d rounds of looks, %d mounts that came and went seen", float64(n)/took.Seconds(), looks, names)
}

// lastNumber reads lines to the end and returns the last.
func lastNumber(r *bufio.Reader) (n int) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return n
		}
		n, _ = strconv.Atoi(strings.TrimSpace(line))
	}
}

// A path that leads through a file system whose server never answered, or is
// stopped, is matched as text: the answer comes at once, and from what is readable.
func TestDeafServer(t *testing.T) {
	sandboxed(t)
	hosttest.Needs(t, "fuse", fileExists("/dev/fuse"), "modprobe fuse")
	dir := t.TempDir()
	server, _ := hostile(t, "deaf", dir)
	pid := server.Process.Pid
	inside := func(argv ...string) *exec.Cmd {
		return exec.Command("nsenter", append([]string{"-t", strconv.Itoa(pid), "-m"}, argv...)...)
	}
	blocked := inside("stat", filepath.Join(dir, "x"))
	if err := blocked.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blocked.Process.Kill(); blocked.Wait() })
	hosttest.Until(t, soon, "stat waits for the server", func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", blocked.Process.Pid))
		return strings.Contains(string(text), "fuse") || stateOf(blocked.Process.Pid) == "D"
	})
	want := heldBy{Kind: "process", PID: pid, Path: dir, MountNamespace: spaceOf(t, pid)}
	for _, stopped := range []bool{false, true} {
		if stopped {
			stopDaemon(t, pid)
		}
		var w world
		whoHolds(t, w, dir).names(t, want)
		for _, below := range []string{"x", "x/y/merged", strings.Repeat("0123456789abcdef", 4) + "/merged"} {
			// The layers of a removed container may be beside it: there nothing can be read.
			target := filepath.Join(dir, below)
			r := w.exec(t, "nsenter", "-t", strconv.Itoa(pid), "-m", sexton(), "holders", target)
			r.noTrace(t)
			r.exits(t, cantTell).says(t, "cannot tell whether anything holds it")
			if filepath.Base(below) == "merged" {
				r.says(t, "detached overlays with a layer below "+dir+": fuse.deaf asks a server")
			}
		}
	}
}

// What is mounted on a place with an evil name is told, and its name is made harmless.
func TestEvilMountPoint(t *testing.T) {
	sandboxed(t)
	const evil = "x\nunknown  y\x1b[2J\x1b]0;z\a\xff"
	dir := filepath.Join(t.TempDir(), evil)
	unit := unitIn(t, "private", fmt.Sprintf("set -e; mkdir '%s'; mount -t tmpfs evil '%[1]s'; mkdir '%[1]s/%[2]s'; mount -t tmpfs evil '%[1]s/%[2]s'; exec 9>'%[1]s/file'", dir, evil))
	var w world
	if err := syscall.Access(dir, 0); err != nil {
		t.Fatal(err)
	}
	device := shellIn(t, unit, "mountpoint -d '"+dir+"'")
	for _, args := range [][]string{{"holders", device}, {"holders", dir}, {"holders", device, "-o", "wide"}, {"why", dir, "--interval=0"}, {"scan", "--interval=0"}, {"propagation", dir}} {
		r := w.sexton(t, args...)
		text := r.stdout + r.stderr
		if strings.ContainsAny(text, "\x1b\a\ufffd") || !utf8.ValidString(text) || strings.Contains(text, "\nunknown  y") {
			t.Errorf("raw bytes of a mount point\n%q", text)
		}
		if args[0] == "holders" && (r.code != findings || !strings.Contains(text, `\x1b[2J`)) {
			t.Errorf("the mount is not told\n%s", r)
		}
	}
	h := whoHolds(t, w, device) // in JSON it is exact, but for what is no UTF-8
	if len(h.Holders) != 3 || !strings.HasSuffix(h.Holders[0].Path, strings.ReplaceAll(evil, "\xff", `\xff`)) {
		t.Errorf("%+v", h.Holders)
	}
}
