package statmount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
)

const everything = Device | Basic | Root | Point | Type | Super | Subtype | Source

// ownMounts puts the test's thread, which then ends with the test, into a mount
// namespace of its own. Subtests would run outside of it.
func ownMounts(t *testing.T) (dir string) {
	t.Helper()
	hosttest.NeedsRoot(t)
	_, err := Supported()
	hosttest.Needs(t, "statmount", err == nil, fmt.Sprint(err))
	runtime.LockOSThread()
	err = unix.Unshare(unix.CLONE_NEWNS)
	hosttest.Needs(t, "mount-namespace", err == nil, "the right to unshare(CLONE_NEWNS)")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal("make / private:", err)
	}
	dir = t.TempDir()
	if err := unix.Mount("base", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // on this thread, and before the folder is removed
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func idOf(t *testing.T, path string) uint64 {
	t.Helper()
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Mnt_id
}

// theSame asks statmount and mountinfo for the mount at path and wants one answer.
func theSame(t *testing.T, path string) mounts.Mount {
	t.Helper()
	var got mounts.Mount
	if _, _, err := NewCaller().Stat(0, idOf(t, path), everything, &got); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	all, err := mounts.ParseMountinfo(text)
	if err != nil {
		t.Fatal(err)
	}
	want := all[len(all)-1]
	want.UniqueID, want.UniqueParent = got.UniqueID, got.UniqueParent
	known, err := Supported()
	if err != nil {
		t.Fatal(err)
	}
	if known&Source == 0 { // before Linux 6.13
		want.Source = ""
	}
	if diff := cmp.Diff(want, got); diff != "" || got.MountPoint != path {
		t.Errorf("%.200s (-mountinfo +statmount)\n%.2000s", path, diff)
	}
	return got
}

// Flags and hostile texts read as in mountinfo.
func TestSameText(t *testing.T) {
	base := ownMounts(t)
	for _, tt := range []struct {
		name, dir, source string
		flags             uintptr
	}{
		{"plain", "plain", "x", 0},
		{"read-only", "ro", "x", unix.MS_RDONLY},
		{"all that is forbidden", "no", "x", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSYMFOLLOW},
		{"no access times", "noatime", "x", unix.MS_NOATIME},
		{"strict access times", "strictatime", "x", unix.MS_STRICTATIME | unix.MS_NODIRATIME},
		{"synchronous", "sync", "x", unix.MS_SYNCHRONOUS | unix.MS_DIRSYNC | unix.MS_LAZYTIME},
		{"a forged line", "x\n1 1 0:1 x rw - tmpfs none rw", "\n1 1 0:1 / / rw - a b\n", 0},
		{"escapes", `\040\134\`, `\012\054\`, 0},
		{"a terminal's", "\x1b[2J\xff", "\x1b]0;x\a", 0},
	} {
		dir := filepath.Join(base, tt.dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(tt.name, err)
		}
		if err := unix.Mount(tt.source, dir, "tmpfs", tt.flags, "size=64k"); err != nil {
			t.Fatal(tt.name, err)
		}
		theSame(t, dir)
	}
}

// A comma in the name of an overlay's directory forges no option, either way.
func TestForgedOption(t *testing.T) {
	base := ownMounts(t)
	lower, upper, work, merged := filepath.Join(base, "l"), filepath.Join(base, "u,index=on"), filepath.Join(base, "w"), filepath.Join(base, "m")
	for _, dir := range []string{lower, upper, work, merged} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, strings.ReplaceAll(upper, ",", `\,`), work)
	err := unix.Mount("overlay", merged, "overlay", 0, options)
	hosttest.Needs(t, "overlay", !errors.Is(err, unix.ENODEV), "the overlay file system")
	if err != nil {
		t.Fatal(err)
	}
	forged, whole := false, false
	for _, option := range mounts.SplitSuper(theSame(t, merged).Super) {
		forged = forged || option == "index=on"
		whole = whole || strings.ReplaceAll(option, `\`, "") == "upperdir="+upper // some kernels keep the backslash
	}
	if forged || !whole {
		t.Errorf("forged %t, upperdir whole %t", forged, whole)
	}
}

// The buffer grows to hold what an overlay of 300 layers with long paths has.
func TestMegabyteOfOptions(t *testing.T) {
	base := ownMounts(t)
	deep, err := unix.Open(base, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("d", 250)
	for range 15 { // a path may have 4096 bytes; relative steps pass no bound
		if err := unix.Mkdirat(deep, long, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(deep, long, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(deep)
		deep = next
	}
	defer unix.Close(deep)
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	hosttest.Needs(t, "overlay", err == nil, "the overlay file system")
	defer unix.Close(fs)
	const layers = 300
	for i := range layers {
		name := fmt.Sprint(i)
		if err := unix.Mkdirat(deep, name, 0o755); err != nil {
			t.Fatal(err)
		}
		layer, err := unix.Openat(deep, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.FsconfigSetFd(fs, "lowerdir+", layer)
		unix.Close(layer)
		hosttest.Needs(t, "overlay-layers-by-fd", err == nil, "Linux 6.13")
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mount)
	merged := filepath.Join(base, "m")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, merged, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	got := theSame(t, merged)
	if n := strings.Count(got.Super, "lowerdir"); len(got.Super) < 1<<20 || n != layers {
		t.Errorf("%d bytes, %d layers", len(got.Super), n)
	}
}

// More mounts than one call lists are all listed, once, and one that is gone says so.
func TestList(t *testing.T) {
	base := ownMounts(t)
	c := NewCaller()
	before, err := c.List(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.page = c.page[:7]
	const n = 30
	for range n {
		if err := unix.Mount("x", base, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := c.List(0, nil)
	if err != nil || len(ids) != len(before)+n {
		t.Errorf("%v: %d mounts, want %d", err, len(ids), len(before)+n)
	}
	for i, id := range ids[1:] {
		if id <= ids[i] {
			t.Errorf("id %d follows %d", id, ids[i])
		}
	}
	top := idOf(t, base)
	for range n {
		if err := unix.Unmount(base, 0); err != nil {
			t.Fatal(err)
		}
	}
	var m mounts.Mount
	if _, _, err := c.Stat(0, top, Basic, &m); !errors.Is(err, unix.ENOENT) || m != (mounts.Mount{}) {
		t.Errorf("%v: %+v", err, m)
	}
	if _, err := c.List(1<<62, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a namespace that is not: %v", err)
	}
}

// The cost of one call, for each group of fields.
func BenchmarkStat(b *testing.B) {
	_, err := Supported()
	hosttest.Needs(b, "statmount", err == nil, fmt.Sprint(err))
	c := NewCaller()
	ids, err := c.List(0, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, mask := range map[string]Mask{"none": 0, "numbers": Device | Basic, "paths": Root | Point, "superblock": Type | Subtype | Source, "options": Super} {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				var m mounts.Mount
				if _, _, err := c.Stat(0, ids[i%len(ids)], mask, &m); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}
