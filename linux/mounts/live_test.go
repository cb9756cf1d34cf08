package mounts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/internal/hosttest"
)

// The mount table of every process of this machine parses, the test's own with its root in it.
func TestLive(t *testing.T) {
	files, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range append(files, "/proc/self/mountinfo") {
		text, err := os.ReadFile(file)
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL) // EINVAL: a zombie
		if gone || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := ParseMountinfo(text)
		if err != nil || len(all) != strings.Count(string(text), "\n") {
			t.Errorf("%s: %v: %d mounts in %d lines", file, err, len(all), strings.Count(string(text), "\n"))
		}
		read++
	}
	if read == 0 {
		t.Error("no mount table could be read, not even the test's own")
	}
}

// The kernel itself is asked how it writes what would break a line: a path
// with the separator in it, an empty source, every byte that it escapes.
func TestLiveHostileMounts(t *testing.T) {
	hosttest.NeedsRoot(t)
	runtime.LockOSThread() // and never unlocked: the thread, its mount namespace and all in it end with this goroutine
	err := syscall.Unshare(syscall.CLONE_NEWNS)
	hosttest.Needs(t, "mount-namespace", err == nil, "the right to unshare(CLONE_NEWNS)")
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal("make / private:", err)
	}
	var every strings.Builder
	for b := 1; b < 256; b++ {
		if b != '/' {
			every.WriteByte(byte(b))
		}
	}
	all := every.String()
	base := t.TempDir()
	mountOn(t, base, "base")
	t.Cleanup(func() { // on this thread, and before the folder is removed
		if err := syscall.Unmount(base, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, tt := range []struct{ name, dir, source string }{
		{"no source", "plain", ""},
		{"the separator", "a - b - tmpfs none rw", " - "},
		{"a forged line", "x\n1 1 0:1 x rw - tmpfs none rw", "\n1 1 0:1 / / rw - a b\n"},
		{"escapes", `\040\134\`, `\012\`},
		{"every byte, first half", all[:127], all[:127]},
		{"every byte, second half", all[127:], all[127:]},
	} {
		// No subtest: it would run on another thread, in the machine's mount namespace.
		dir := filepath.Join(base, tt.dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(tt.name, err)
		}
		mountOn(t, dir, tt.source)
		text, err := os.ReadFile("/proc/thread-self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		mounts, err := ParseMountinfo(text)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		got := mounts[len(mounts)-1]
		want := Mount{ID: got.ID, Parent: got.Parent, Minor: got.Minor, Root: "/", MountPoint: dir, Options: "rw,relatime", Type: "tmpfs", Source: tt.source, Super: got.Super}
		if diff := cmp.Diff(want, got); diff != "" || got.ID == 0 || !strings.HasPrefix(got.Super, "rw,size=64k") {
			t.Errorf("%s: %q (-want +got)\n%s", tt.name, text, diff)
		}
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(tt.name, err)
		}
	}
}

func mountOn(t *testing.T, dir, source string) {
	t.Helper()
	if err := syscall.Mount(source, dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mount %q on %q: %v", source, dir, err)
	}
}
