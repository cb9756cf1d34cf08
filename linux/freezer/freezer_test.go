package freezer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

const patience = 20 * time.Second

// A version is one that this machine has, and how to freeze in it.
type version struct {
	name, top    string
	file, freeze string
	files        files
}

var versions = []version{
	{"v1", "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", version1},
	{"v2", "/sys/fs/cgroup", "cgroup.freeze", "1", version2},
	{"v2", "/sys/fs/cgroup/unified", "cgroup.freeze", "1", version2},
}

// each runs a test on both versions, each if the machine has it.
func each(t *testing.T, f func(*testing.T, version)) {
	hosttest.NeedsRoot(t)
	some := false
	for _, v := range versions {
		var fs unix.Statfs_t
		if err := unix.Statfs(v.top, &fs); err != nil || (fs.Type == unix.CGROUP2_SUPER_MAGIC) != (v.name == "v2") {
			continue
		}
		some = true
		t.Run(v.name, func(t *testing.T) { f(t, v) })
	}
	hosttest.Needs(t, "freezer", some, "mount a cgroup hierarchy with the freezer")
}

// group makes a cgroup that the test's end thaws and removes.
func (v version) group(t *testing.T, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		write0(t, dir, v.files.write, v.files.thaw)
		hosttest.Until(t, patience, "rmdir "+dir, func() bool { err := os.Remove(dir); return err == nil || errors.Is(err, os.ErrNotExist) })
	})
	return dir
}

// write0 writes a control file of a cgroup that may be gone.
func write0(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// froze freezes a cgroup and waits until it is.
func (v version) froze(t *testing.T, dir string) {
	t.Helper()
	write0(t, dir, v.file, v.freeze)
	hosttest.Until(t, patience, dir+" is frozen", func() bool { return v.isFrozen(t, dir) })
}

func (v version) isFrozen(t *testing.T, dir string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, v.files.state))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "FROZEN") || strings.Contains(string(text), "frozen 1")
}

// counter starts a process in a cgroup that counts into a file, so that it shows
// whether it runs. The test's end thaws it, since nothing else ends it in version 1.
func (v version) counter(t *testing.T, dir string) (grows func() bool) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "count")
	cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$1/cgroup.procs"; while :; do echo x >>"$2"; sleep 0.02; done`, "sh", dir, out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for at := dir; at != v.top; at = filepath.Dir(at) {
			write0(t, at, v.files.write, v.files.thaw)
		}
		cmd.Process.Kill()
		cmd.Wait()
	})
	size := func() int64 {
		info, err := os.Stat(out)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	hosttest.Until(t, patience, "it counts", func() bool { return size() > 0 })
	return func() bool {
		was := size()
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if size() > was {
				return true
			}
		}
		return false
	}
}

func inode(t *testing.T, dir string) uint64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Ino
}

func open(t *testing.T, dir string) *Cgroup {
	t.Helper()
	c, err := Open(dir, inode(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wants(t *testing.T, err, is error, part string) {
	t.Helper()
	if !errors.Is(err, is) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want %v with %q", err, is, part)
	}
}

func name() string { return "sexton-freezer-" + strconv.Itoa(os.Getpid()) }

func TestThaw(t *testing.T) {
	each(t, func(t *testing.T, v version) {
		dir := v.group(t, v.top, name())
		grows := v.counter(t, dir)
		c := open(t, dir)
		wants(t, c.Thaw(t.Context()), ErrThawed, dir)
		v.froze(t, dir)
		hosttest.Until(t, patience, "it does not run", func() bool { return !grows() })
		late, cancel := context.WithCancel(t.Context())
		cancel()
		wants(t, c.Thaw(late), ErrRefused, "canceled")
		if !v.isFrozen(t, dir) {
			t.Error("thawed after its time")
		}
		if err := c.Thaw(t.Context()); err != nil {
			t.Fatal(err)
		}
		hosttest.Until(t, patience, "it is thawed", func() bool { return !v.isFrozen(t, dir) })
		hosttest.Until(t, patience, "its process runs", grows)
	})
}

// What an ancestor keeps frozen is refused with the ancestor's name, and nothing is written.
func TestFrozenAbove(t *testing.T) {
	each(t, func(t *testing.T, v version) {
		top := v.group(t, v.top, name())
		middle := v.group(t, top, "middle")
		leaf := v.group(t, middle, "leaf")
		v.counter(t, leaf)
		c := open(t, leaf)
		v.froze(t, top)
		hosttest.Until(t, patience, "the leaf is frozen", func() bool { return v.isFrozen(t, leaf) })
		for _, self := range []string{v.files.thaw, v.freeze} { // the leaf too
			write0(t, leaf, v.file, self)
			wants(t, c.Thaw(t.Context()), ErrRefused, "its ancestor "+top+" is frozen")
		}
		text, err := os.ReadFile(filepath.Join(leaf, v.files.self))
		if string(text) != "1\n" {
			t.Errorf("%s of the leaf is %q, %v: it was written", v.files.self, text, err)
		}
		if err := open(t, top).Thaw(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Thaw(t.Context()); err != nil {
			t.Fatal(err)
		}
		hosttest.Until(t, patience, "the leaf is thawed", func() bool { return !v.isFrozen(t, leaf) })
	})
}

// From where the ancestors are not mounted, as in a container, it is still told
// that one of them is frozen.
func TestFrozenAboveUnseen(t *testing.T) {
	each(t, func(t *testing.T, v version) {
		top := v.group(t, v.top, name())
		leaf := v.group(t, top, "leaf")
		v.counter(t, leaf)
		v.froze(t, top)
		hosttest.Until(t, patience, "the leaf is frozen", func() bool { return v.isFrozen(t, leaf) })
		at := t.TempDir()
		done := make(chan error)
		go func() { done <- bound(leaf, at, func() error { return thawAt(at) }) }()
		wants(t, <-done, ErrRefused, "an ancestor that cannot be seen from here")
	})
}

// bound calls f on a thread in a mount namespace of its own that has a directory
// mounted at another place. The thread ends with it.
func bound(dir, at string, f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() { // that thread does not end
		defer runtime.UnlockOSThread()
		again := make(chan error)
		go func() { again <- bound(dir, at, f) }()
		return <-again
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(dir, at, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return f()
}

func thawAt(dir string) error {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return err
	}
	c, err := Open(dir, stat.Ino)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Thaw(context.Background())
}

// Another cgroup of the same path is not thawed, nor one that was removed since.
func TestOnlyTheOneThatWasSeen(t *testing.T) {
	each(t, func(t *testing.T, v version) {
		dir := v.group(t, v.top, name())
		was := inode(t, dir)
		c := open(t, dir)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, was)
		wants(t, err, ErrGone, dir)
		wants(t, c.Thaw(t.Context()), ErrGone, dir)
		again := v.group(t, v.top, name())
		v.counter(t, again)
		v.froze(t, again)
		_, err = Open(dir, was)
		wants(t, err, ErrGone, fmt.Sprintf("not %d", was))
		wants(t, c.Thaw(t.Context()), ErrGone, dir) // by the descriptor of the first
		if !v.isFrozen(t, again) {
			t.Error("the other one was thawed")
		}
	})
}

func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, v version) {
		wants(t, open(t, v.top).Thaw(t.Context()), ErrRefused, "it is the root")
	})
	dir := t.TempDir()
	_, err := Open(dir, inode(t, dir))
	wants(t, err, ErrRefused, "no cgroup's directory")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/sys/fs/cgroup", link); err != nil {
		t.Fatal(err)
	}
	_, err = Open(link, inode(t, link))
	wants(t, err, unix.ENOTDIR, link)
}

func TestFailed(t *testing.T) {
	c := &Cgroup{path: "/sys/fs/cgroup/x", dir: -1, freezer: version2}
	for errno, part := range map[error]string{unix.EROFS: "mounted for writing", unix.EACCES: "as root"} {
		wants(t, c.failed("cgroup.freeze", errno), errno, part)
	}
	wants(t, c.failed("cgroup.freeze", unix.ENODEV), ErrGone, "gone")
}
