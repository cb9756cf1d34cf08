package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/mountstest"
)

// Overlays on two tmpfs have the same inode numbers: what is open on the one, which is
// detached, is not in the layers of the other; by whichever id their file system has.
func TestLayersOfAnother(t *testing.T) {
	hosttest.NeedsRoot(t)
	dir := t.TempDir()
	for name, option := range map[string]string{"with an id of its own": "", "with its upper layer's": ",uuid=off"} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error)
			var got, want [2][]string
			go mountstest.OnDyingThread(func() { failed <- twoOverlays(filepath.Join(dir, name), option, &got, &want) })
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%q, want %q", got[i], want[i])
				}
			}
		})
	}
}

// twoOverlays makes them in a mount namespace of this thread's own, and asks in which of
// the layers what is open on each is.
func twoOverlays(dir, option string, got, want *[2][]string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	var dirs []Layer
	var refs [2]holders.Ref
	for i, size := range []string{"size=1m", "size=2m"} {
		at := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("none", at, "tmpfs", 0, size); err != nil {
			return err
		}
		for _, name := range []string{"lower", "diff", "work", "merged"} {
			if err := os.Mkdir(filepath.Join(at, name), 0o755); err != nil {
				return err
			}
		}
		options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/diff,workdir=%[1]s/work%[2]s", at, option)
		if err := unix.Mount("overlay", at+"/merged", "overlay", 0, options); err != nil {
			return err
		}
		fd, err := unix.Open(at+"/merged", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Unmount(at+"/merged", unix.MNT_DETACH); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		refs[i] = holders.Ref{PID: os.Getpid(), Kind: holders.FD, FD: fd, Device: mounts.DeviceOf(st.Dev), Inode: st.Ino, Link: "/"}
		dirs = append(dirs, Layer{Dir: at + "/diff"})
		want[i] = []string{at + "/diff"}
	}
	if refs[0].Inode != refs[1].Inode {
		return fmt.Errorf("inodes %d and %d", refs[0].Inode, refs[1].Inode)
	}
	all := findLayers("/proc", dirs)
	for i := range refs {
		got[i] = all.of("/proc", &refs[i])
	}
	return nil
}
