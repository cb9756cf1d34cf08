package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
	"sexton.dev/linux/mounts/nsfs"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

// A copied is the mount namespace of a user namespace: a copy of the host's, in
// which something more was mounted.
type copied struct {
	pid, fd    int
	dir        string // all of the host's own mounts are below it
	locked     string // came with the clone
	free, file string // mounted later
	covered    string // twice, the one on the other
	foreign    []int  // processes of all other namespaces
}

func newCopied(t *testing.T) copied {
	h := mountstest.Start(t, 2, 2, 1)
	p := h.Plant(t, mountstest.UserOwned)
	c := copied{pid: p.PID, dir: h.Dir, locked: p.Path, free: p.Path + "/free", file: p.Path + "/file", covered: p.Path + "/covered"}
	for _, other := range h.Plants {
		if other.PID != 0 && other.PID != p.PID {
			c.foreign = append(c.foreign, other.PID)
		}
	}
	var err error
	if c.fd, err = unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	c.inside(t, func() error {
		return errors.Join(os.Mkdir(c.free, 0o755), os.Mkdir(c.covered, 0o755), os.WriteFile(c.file, nil, 0o644),
			tmpfs(c.free), unix.Mount(c.file, c.file, "", unix.MS_BIND, ""), tmpfs(c.covered), tmpfs(c.covered))
	})
	return c
}

func (c copied) inside(t *testing.T, f func() error) {
	t.Helper()
	if err := nsfs.Inside(c.fd, f); err != nil {
		t.Fatal(err)
	}
}

// tables are the mounts of the copy and of all others.
func (c copied) tables(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pid := range append([]int{c.pid, os.Getpid()}, c.foreign...) {
		fmt.Fprintf(&all, "process %d\n", pid)
		for _, m := range table(t, pid, c.has) {
			fmt.Fprintf(&all, "%+v\n", m)
		}
	}
	return all.String()
}

func (c copied) has(m mounts.Mount) bool { return strings.HasPrefix(m.MountPoint, c.dir+"/") }

// table are the mounts of a process as the kernel writes them, ours and the machine's. Those of other
// trials come and go in the machine's own namespace, and a copy of one goes with its directory.
func table(t *testing.T, pid int, ours func(mounts.Mount) bool) []mounts.Mount {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	all, err := mounts.ParseMountinfo(text)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(m mounts.Mount) bool {
		return strings.HasPrefix(m.MountPoint, os.TempDir()+"/") && !ours(m)
	})
}

// mounts are those of the copy, by their unique ids if the kernel has such.
func (c copied) mounts(t *testing.T) (all []Mount) {
	t.Helper()
	for _, m := range table(t, c.pid, c.has) {
		all = append(all, Mount{uint64(m.ID), m.MountPoint})
	}
	return all
}

// What came with the clone is locked and what was mounted later is not; asking
// unmounts nothing anywhere; and then the unmounts themselves prove the answers.
func TestLocked(t *testing.T) {
	c := newCopied(t)
	before := c.tables(t)
	got, first := map[string]string{}, map[Mount]string{}
	all := c.mounts(t)
	for range 50 {
		c.inside(t, func() error {
			for _, m := range all {
				locked, err := Locked(m)
				word := fmt.Sprintf("%v %v", locked, err)
				if was, asked := first[m]; asked && was != word {
					t.Errorf("%+v: %s, and before %s", m, word, was)
				}
				first[m], got[m.Point] = word, word // the upper of two comes later
			}
			return nil
		})
	}
	if after := c.tables(t); after != before {
		t.Fatalf("asking has changed the tables from\n%s\nto\n%s", before, after)
	}
	for point, want := range map[string]string{c.locked: "true <nil>", c.free: "false <nil>", c.file: "false <nil>", c.covered: "false <nil>", "/": "false " + ErrRoot.Error()} {
		if got[point] != want {
			t.Errorf("%s: %q, want %q", point, got[point], want)
		}
	}
	c.inside(t, func() error {
		for _, m := range all {
			if m.Point == c.covered { // the lower of the two, which comes first
				if _, err := Locked(m); err != ErrOther {
					t.Errorf("a covered mount: %v", err)
				}
				break
			}
		}
		if _, err := Locked(Mount{1, c.free}); err != ErrOther {
			t.Errorf("another mount's number: %v", err)
		}
		if _, err := Locked(Mount{1, filepath.Join(c.free, "nothing")}); err == nil {
			t.Errorf("no such path: %v", err)
		}
		if err := unix.Unmount(c.locked, unix.MNT_DETACH); err != unix.EINVAL {
			t.Errorf("%s is locked, and its unmount says %v", c.locked, err)
		}
		for _, point := range []string{c.free, c.file, c.covered, c.covered} {
			if err := unix.Unmount(point, 0); err != nil {
				t.Errorf("%s is not locked, and its unmount says %v", point, err)
			}
		}
		return nil
	})
}

// With unique ids it is the same.
func TestLockedByUniqueID(t *testing.T) {
	c := newCopied(t)
	c.inside(t, func() error {
		for point, want := range map[string]bool{c.locked: true, c.free: false} {
			var st unix.Statx_t
			if err := unix.Statx(unix.AT_FDCWD, point, 0, unix.STATX_MNT_ID_UNIQUE, &st); err != nil {
				return err
			}
			hosttest.Needs(t, "statmount", st.Mask&unix.STATX_MNT_ID_UNIQUE != 0, "Linux 6.8 has unique mount ids")
			if locked, err := Locked(Mount{st.Mnt_id, point}); locked != want || err != nil {
				t.Errorf("%s: %v, %v", point, locked, err)
			}
		}
		return nil
	})
}

// While somebody mounts and unmounts at the very place that is asked about, the
// only ones to unmount are they: none of their mounts is ever gone when they come.
func TestLockedWhileMounting(t *testing.T) {
	c := newCopied(t)
	before := c.tables(t)
	var free Mount
	for _, m := range c.mounts(t) {
		if m.Point == c.free {
			free = m
		}
	}
	stop, ended := make(chan struct{}), make(chan error, 1)
	turns := 0
	go func() {
		ended <- nsfs.Inside(c.fd, func() error {
			for ; ; turns++ {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := tmpfs(c.free); err != nil {
					return err
				}
				for { // a probe may have it open just now
					err := unix.Unmount(c.free, unix.UMOUNT_NOFOLLOW)
					if err == nil {
						break
					}
					if err != unix.EBUSY {
						return fmt.Errorf("turn %d: somebody else has unmounted it: %w", turns, err)
					}
				}
			}
		})
	}()
	asked, other := 0, 0
	met := func() bool { return asked > 0 && other > 0 }
	for began := time.Now(); time.Since(began) < 3*time.Second || !met() && time.Since(began) < 20*time.Second; {
		c.inside(t, func() error {
			for range 500 {
				switch locked, err := Locked(free); {
				case err == nil && !locked:
					asked++
				case errors.Is(err, ErrOther), errors.Is(err, unix.EAGAIN): // EAGAIN of openat2: the path was just changed
					other++
				default:
					return fmt.Errorf("locked %v, %v", locked, err)
				}
			}
			return nil
		})
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if !met() || turns == 0 {
		t.Errorf("%d answers, %d times another mount, %d mounts: they did not meet", asked, other, turns)
	}
	t.Logf("%d answers, %d times another mount, %d mounts", asked, other, turns)
	if after := c.tables(t); strings.Count(after, "\n") != strings.Count(before, "\n") {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
