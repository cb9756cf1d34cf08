package door

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// inNamespaces runs the calling test again, as the first process of new PID and
// mount namespaces, and reports whether this is that run.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	const marker = "SEXTON_DOOR_TEST"
	if os.Getenv(marker) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	hosttest.NeedsRoot(t)
	child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	child.Env = append(os.Environ(), marker+"="+t.Name(), "TMPDIR="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	child.WaitDelay = 10 * time.Second
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func mount(t *testing.T, fstype, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(fstype, dir, fstype, 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// The proc that is named decides which processes there are.
func TestLivePIDNamespace(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	outer := pids(t, open(t, "/", ""))
	inner := open(t, "/", mount(t, "proc", ""))
	if got := pids(t, inner); !slices.Equal(got, []string{"/proc/1/stat"}) {
		t.Errorf("processes in the namespace: %q", got)
	}
	if len(outer) < 2 {
		t.Errorf("processes outside: %q", outer)
	}
	text, err := inner.ReadFile("/proc/self/stat")
	if err != nil || !bytes.HasPrefix(text, []byte("1 (")) {
		t.Errorf("%q, %v", text, err)
	}
	if name, err := inner.ReadFile("/proc/sys/kernel/osrelease"); err != nil || len(name) == 0 {
		t.Errorf("%q, %v", name, err)
	}
}

// A look at a live host, recorded, says the same when it is replayed.
func TestRecordLive(t *testing.T) {
	l := open(t, "/", "")
	path := filepath.Join(t.TempDir(), "r.tar.zst")
	r, err := Create(path, Meta{Version: "v0", Created: l.Taken(), Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	type pair struct{ live, replay any }
	said := map[string]pair{}
	ask := func(d Door, set func(string, any)) {
		names, err := d.ReadDir("/proc")
		set("/proc", fmt.Sprint(names, err))
		if err != nil {
			return
		}
		for _, name := range append([]string{"self", "4194305"}, names...) {
			if !number(name) && name != "self" {
				continue
			}
			for _, file := range []string{"stat", "status", "cgroup", "stack", "mountinfo", "environ"} {
				text, err := d.ReadFile("/proc/" + name + "/" + file)
				set(name+"/"+file, fmt.Sprintf("%q %v %v", text, err, Gone(err)))
			}
			link, err := d.ReadLink("/proc/" + name + "/exe")
			set(name+"/exe", fmt.Sprint(link, err))
			fds, err := d.ReadDir("/proc/" + name + "/fd")
			set(name+"/fd", fmt.Sprint(fds, err))
		}
	}
	ask(r.Look(l), func(what string, v any) { said[what] = pair{live: v} })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	back, err := OpenRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	ask(back.Looks()[0], func(what string, v any) { said[what] = pair{said[what].live, v} })
	for what, p := range said {
		if p.live != p.replay {
			t.Errorf("%s: live %v, replayed %v", what, p.live, p.replay)
		}
	}
	if len(said) < 20 {
		t.Errorf("only %d answers: %s", len(said), strconv.Quote(path))
	}
}

func TestRecorderFullDisk(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	t.Run("in the middle", func(t *testing.T) {
		path := filepath.Join(mount(t, "tmpfs", "size=128k"), "r.tar.zst")
		r, err := Create(path, Meta{})
		if err != nil {
			t.Fatal(err)
		}
		noise := &fakeDoor{read: func(path string) ([]byte, error) { return randomBytes(path, 64<<10), nil }}
		d := r.Look(noise)
		for i := range 50 {
			path := fmt.Sprintf("/proc/%d/stat", i+1)
			text, err := d.ReadFile(path)
			if err != nil || !bytes.Equal(text, randomBytes(path, 64<<10)) {
				t.Fatalf("read %d with a full disk: %v", i, err)
			}
		}
		if err := r.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		} else {
			t.Log(err)
		}
		if err := r.Abort(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the half file is still there: %v", err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		dir := mount(t, "tmpfs", "size=4k")
		if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Create(filepath.Join(dir, "r.tar.zst"), Meta{})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Create: %v", err)
		} else {
			t.Log(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	})
}
