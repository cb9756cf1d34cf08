package undo

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

func TestMain(m *testing.M) {
	if order := os.Getenv(orderVar); order != "" {
		act(order)
	}
	mountstest.Main(m)
}

// A world is a mount namespace without a process, with a shared tmpfs on dir.
type world struct {
	t   testing.TB
	fd  int
	dir string
}

func newWorld(t testing.TB) world {
	t.Helper()
	hosttest.NeedsRoot(t)
	own, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(own)
	w := world{t, own, t.TempDir()}
	w = w.clone(unix.MS_PRIVATE)
	w.do(func() error { return errors.Join(tmpfs(w.dir), unix.Mount("", w.dir, "", unix.MS_SHARED, "")) })
	return w
}

func tmpfs(at string) error {
	if err := unix.Mount("undo", at, "tmpfs", 0, "size=256k,mode=755"); err != nil {
		return fmt.Errorf("mount on %q: %w", at, err)
	}
	return nil
}

// clone is a copy of the namespace, with another propagation of all.
func (w world) clone(propagation uintptr) world {
	w.t.Helper()
	copied := w
	w.do(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err = unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return err
		}
		copied.fd, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	w.t.Cleanup(func() { unix.Close(copied.fd) })
	return copied
}

func (w world) do(f func() error) {
	w.t.Helper()
	if err := nsfs.Inside(w.fd, f); err != nil {
		w.t.Fatal(err)
	}
}

// mount makes a directory below dir and mounts a tmpfs on it.
func (w world) mount(name string) (point string) {
	w.t.Helper()
	point = w.dir + "/" + name
	w.do(func() error { return errors.Join(os.MkdirAll(point, 0o755), tmpfs(point)) })
	return point
}

// find is what a look would have told of the topmost mount there.
func (w world) find(point string, unique bool) (m Mount) {
	w.t.Helper()
	err := inside(w.fd, unique, func(t table) error {
		p, err := walk(point)
		if err != nil {
			return err
		}
		defer p.close()
		fd, err := p.open()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		id, err := t.id(fd)
		if err != nil {
			return err
		}
		all, err := t.mountinfo()
		i := slices.IndexFunc(all, func(l mounts.Mount) bool { return l.MountPoint == point && (unique || uint64(l.ID) == id) })
		if err == nil && i < 0 {
			err = fmt.Errorf("nothing is mounted on %q", point)
		}
		if err != nil {
			return err
		}
		m = Mount{id, unique, point, fmt.Sprintf("%d:%d", all[i].Major, all[i].Minor), all[i].Root, all[i].Super}
		if unique { // the mountinfo line may be that of a lower one
			m.Device, m.Root, m.Super = "", "", ""
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// ids are the mounts at and below dir, seen from outside if the kernel can. Others are not
// the world's: whoever removes a directory of the machine takes the copy here along.
func (w world) ids() (all []uint64) {
	w.t.Helper()
	add := func(id uint64, point string) {
		if point == w.dir || strings.HasPrefix(point, w.dir+"/") {
			all = append(all, id)
		}
	}
	if !hasUnique() {
		err := inside(w.fd, false, func(t table) error {
			lines, err := t.mountinfo()
			for _, l := range lines {
				add(uint64(l.ID), l.MountPoint)
			}
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return all
	}
	c := statmount.NewCaller()
	id, err := nsfs.ID(w.fd)
	var listed []uint64
	if err == nil {
		listed, err = c.List(id, nil)
	}
	for _, of := range listed {
		var m mounts.Mount
		if _, _, gone := c.Stat(id, of, statmount.Point, &m); gone == nil {
			add(of, m.MountPoint)
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// lost are those that went since before, and whether any came.
func (w world) lost(before []uint64) (gone []uint64) {
	w.t.Helper()
	now := w.ids()
	for _, id := range before {
		if !slices.Contains(now, id) {
			gone = append(gone, id)
		}
	}
	return gone
}

// hasUnique reports whether the kernel has unique ids: Linux 6.8, and 6.11 for a
// foreign namespace's. Tests that are about them need it.
func hasUnique() bool {
	got, err := statmount.Supported()
	return err == nil && got&statmount.Super != 0
}

func needsUnique(t *testing.T) {
	hosttest.Needs(t, "statmount", hasUnique(), "Linux 6.11 lists the mounts of any namespace")
}

// both runs a story with the ids of mountinfo and, if there are any, unique ones.
func both(t *testing.T, story func(t *testing.T, unique bool)) {
	t.Run("mountinfo", func(t *testing.T) { story(t, false) })
	if hasUnique() {
		t.Run("unique", func(t *testing.T) { story(t, true) })
	}
}
