package undo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/mountstest"
)

// Whatever a mount point is called and however deep it lies, its mount goes and no other.
func TestUnmountNames(t *testing.T) {
	deep := strings.TrimSuffix(strings.Repeat("d/", 300), "/")
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("n", 200)+"/", 18), "/") // near what one path may have
	for _, name := range []string{"plain", "a\nb", "a b", "a\\040b", "\xff\xfe\x80", "//deleted"[2:] + " (deleted)", "-x", "a'\"$(b)", deep, long} {
		t.Run(fmt.Sprintf("%.20q", name), func(t *testing.T) {
			both(t, func(t *testing.T, unique bool) {
				w := newWorld(t)
				beside := w.mount("beside")
				m := w.find(w.mount(name), unique)
				before := w.ids()
				if err := Unmount(w.fd, m); err != nil {
					t.Fatal(err)
				}
				if gone := w.lost(before); len(gone) != 1 || unique == hasUnique() && gone[0] != m.ID {
					t.Errorf("gone: %d, wanted %d", gone, m.ID)
				}
				w.find(beside, unique)
			})
		})
	}
}

// The kernel writes paths that it does not read in one piece.
func TestUnmountBeyondPathMax(t *testing.T) {
	both(t, func(t *testing.T, unique bool) {
		w := newWorld(t)
		point, part := w.dir, strings.Repeat("p", 250)
		w.do(func() error {
			if err := os.Chdir(w.dir); err != nil {
				return err
			}
			for range 30 {
				if err := errors.Join(unix.Mkdir(part, 0o755), unix.Chdir(part)); err != nil {
					return err
				}
				point += "/" + part
			}
			return errors.Join(unix.Mkdir("last", 0o755), tmpfs("last"))
		})
		m := w.find(point+"/last", unique)
		if err := Unmount(w.fd, m); err != nil {
			t.Fatalf("%.300v", err)
		}
	})
}

// What is mounted beside it may be hidden, covered, a file, many, or have another root.
func TestUnmountBeside(t *testing.T) {
	both(t, func(t *testing.T, unique bool) {
		w := newWorld(t)
		w.mount("in/x/y")
		w.mount("in/x") // hides it
		w.mount("twice")
		w.mount("twice")
		w.mount("twice")
		w.do(func() error {
			file, dir := w.dir+"/file", w.dir+"/dir"
			return errors.Join(os.WriteFile(file, nil, 0o600), unix.Mount(file, file, "", unix.MS_BIND, ""),
				os.Mkdir(dir, 0o700), unix.Mount(w.dir+"/in", dir, "", unix.MS_BIND|unix.MS_REC, ""))
		})
		for i := range 300 {
			w.mount(fmt.Sprintf("many/%d", i))
		}
		m := w.find(w.mount("in/a"), unique)
		w.do(func() error { return unix.Unmount(w.dir+"/dir/a", 0) }) // it comes there too, and goes on both
		if err := Unmount(w.fd, m); !errors.Is(err, ErrGone) && !(errors.Is(err, ErrOther) && !unique) {
			t.Error(err)
		}
		m = w.find(w.mount("in/a"), unique)
		before := w.ids()
		if err := Unmount(w.fd, m); err != nil {
			t.Fatal(err)
		}
		if gone := w.lost(before); len(gone) != 2 { // and its copy
			t.Errorf("gone: %d", gone)
		}
	})
}

// A file as a mount point.
func TestUnmountFile(t *testing.T) {
	both(t, func(t *testing.T, unique bool) {
		w := newWorld(t)
		file := w.dir + "/file"
		w.do(func() error {
			return errors.Join(os.WriteFile(file, nil, 0o600), unix.Mount(file, file, "", unix.MS_BIND, ""))
		})
		if err := Unmount(w.fd, w.find(file, unique)); err != nil {
			t.Error(err)
		}
	})
}

// Each refusal has its kind, says why, and touches nothing.
func TestUnmountRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, w world, m *Mount) // after the look
		want *Error
		text string
	}{
		{"another mount on it", func(_ *testing.T, w world, m *Mount) { w.do(func() error { return tmpfs(m.Point) }) }, ErrOther, "is covered by mount"},
		{"another in its place", func(_ *testing.T, w world, m *Mount) {
			w.do(func() error {
				return errors.Join(unix.Unmount(m.Point, 0), unix.Mount("x", m.Point, "tmpfs", 0, "size=64k"))
			})
		}, nil, ""},
		{"a link in its place", func(_ *testing.T, w world, m *Mount) {
			w.clone(unix.MS_PRIVATE).do(func() error { // from elsewhere a mount point can be renamed
				return errors.Join(unix.Unmount(m.Point, 0), os.Rename(m.Point, m.Point+"2"), os.Symlink(m.Point+"2", m.Point))
			})
		}, ErrOther, "is by now mount"},
		{"a link above", func(_ *testing.T, w world, m *Mount) {
			w.clone(unix.MS_PRIVATE).do(func() error {
				above := filepath.Dir(m.Point)
				return errors.Join(os.Rename(above, above+"2"), os.Symlink(above+"2", above))
			})
		}, ErrOther, "is by now mount"},
		{"the path of a link to it", func(_ *testing.T, w world, m *Mount) {
			w.do(func() error { return os.Symlink(filepath.Dir(m.Point), w.dir+"/link") })
			m.Point = w.dir + "/link/" + filepath.Base(m.Point)
		}, ErrOther, ""},
		{"dots", func(_ *testing.T, w world, m *Mount) {
			m.Point = filepath.Dir(m.Point) + "/./" + filepath.Base(m.Point)
		}, ErrOther, "not how the kernel writes"},
		{"two dots", func(_ *testing.T, w world, m *Mount) { m.Point += "/../" + filepath.Base(m.Point) }, ErrOther, "not how the kernel writes"},
		{"relative", func(_ *testing.T, w world, m *Mount) { m.Point = m.Point[1:] }, ErrOther, "no absolute path"},
		{"a NUL", func(_ *testing.T, w world, m *Mount) { m.Point += "\x00" }, ErrOther, "no absolute path"},
		{"the root", func(_ *testing.T, w world, m *Mount) { *m = w.find2("/", m.Unique) }, ErrRoot, "never touched"},
		{"the root by more slashes", func(_ *testing.T, w world, m *Mount) { m.Point = "///" }, ErrRoot, "never touched"},
		{"another device", func(_ *testing.T, w world, m *Mount) { m.Device = "0:1" }, ErrOther, "is by now mount"},
		{"another root", func(_ *testing.T, w world, m *Mount) { m.Root = "/elsewhere" }, ErrOther, "is by now mount"},
		{"no id", func(_ *testing.T, w world, m *Mount) { m.ID = 0 }, ErrOther, "cannot be told"},
		{"a mount below", func(_ *testing.T, w world, m *Mount) { w.mount("in/a/below") }, ErrBusy, "1 mounts are below"},
		{"its own root bound inside", func(_ *testing.T, w world, m *Mount) {
			w.do(func() error {
				return errors.Join(os.Mkdir(m.Point+"/x", 0o755), unix.Mount(m.Point, m.Point+"/x", "", unix.MS_BIND, ""))
			})
		}, ErrBusy, "1 mounts are below"},
		{"an open file", func(t *testing.T, w world, m *Mount) { w.hold(t, m.Point) }, ErrBusy, "in use"},
		{"an open file in a copy", func(t *testing.T, w world, m *Mount) { w.clone(unix.MS_SLAVE).hold(t, m.Point) }, ErrBusy, "in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, unique bool) {
				w := newWorld(t)
				m := w.find(w.mount("in/a"), unique)
				tt.make(t, w, &m)
				before := w.ids()
				for range 3 {
					err := Unmount(w.fd, m)
					want := tt.want
					if want == nil { // gone, which mountinfo cannot prove
						want = ErrOther
						if unique {
							want = ErrGone
						}
					}
					if !errors.Is(err, want) || !strings.Contains(err.Error(), tt.text) {
						t.Errorf("%v (want kind %d, %q)", err, want.Kind, tt.text)
					}
				}
				if gone := w.lost(before); len(gone) > 0 {
					t.Errorf("gone: %d", gone)
				}
			})
		})
	}
}

// hold keeps a mount in use until the test ends.
func (w world) hold(t *testing.T, point string) {
	w.do(func() error {
		fd, err := unix.Open(point, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) })
		}
		return err
	})
}

// find2 is find for "/", which walk does not go to.
func (w world) find2(point string, unique bool) Mount {
	m := Mount{Unique: unique, Point: point, ID: 1, Device: "0:1", Root: "/"}
	if unique {
		w.do(func() error {
			var st unix.Statx_t
			err := unix.Statx(unix.AT_FDCWD, point, 0, unix.STATX_MNT_ID_UNIQUE, &st)
			m.ID, m.Device, m.Root = st.Mnt_id, "", ""
			return err
		})
	}
	return m
}

// A number without its device and root is nothing to go by.
func TestUnmountBareNumber(t *testing.T) {
	w := newWorld(t)
	m := w.find(w.mount("a"), false)
	m.Device = ""
	if err := Unmount(w.fd, m); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "give its device") {
		t.Error(err)
	}
}

// The number of mountinfo was used again: for a mount on another path, and for one of
// another superblock on the same path.
func TestUnmountReusedNumber(t *testing.T) {
	w := newWorld(t)
	was := w.find(w.mount("a"), false)
	w.do(func() error { return unix.Unmount(was.Point, 0) })
	elsewhere := was
	elsewhere.ID = w.find(w.mount("b"), false).ID
	w.do(func() error { return unix.Mount("other", was.Point, "tmpfs", 0, "size=64k") })
	samePath := was
	samePath.ID = w.find(was.Point, false).ID
	before := w.ids()
	for _, m := range []Mount{elsewhere, samePath} {
		if err := Unmount(w.fd, m); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "is by now mount") {
			t.Error(err)
		}
	}
	if gone := w.lost(before); len(gone) > 0 {
		t.Errorf("gone: %d", gone)
	}
}

// It reaches a namespace through whatever still has it, and each copy that leaked there.
func TestUnmountLeaks(t *testing.T) {
	needsUnique(t)
	h := mountstest.Start(t, 1, 2, 1)
	for _, kind := range []string{mountstest.Process, mountstest.Thread, mountstest.Bind, mountstest.NamespFD, mountstest.Chrooted} {
		t.Run(kind, func(t *testing.T) {
			p := h.Plant(t, kind)
			path := fmt.Sprintf("/proc/%d/ns/mnt", p.PID)
			switch kind {
			case mountstest.Thread:
				path = fmt.Sprintf("/proc/%d/task/%d/ns/mnt", p.PID, p.TID)
			case mountstest.NamespFD:
				path = fmt.Sprintf("/proc/%d/fd/%d", p.PID, p.FD)
			case mountstest.Bind:
				path = fmt.Sprintf("/proc/%d/root%s", h.Plant(t, mountstest.OpenTree).PID, p.BoundAt)
			}
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			w := world{t, fd, ""}
			before := w.ids()
			m := w.find(p.Path, true)
			if err := Unmount(fd, m); err != nil {
				t.Fatal(err)
			}
			if gone := w.lost(before); !slices.Equal(gone, []uint64{m.ID}) {
				t.Errorf("gone: %d, wanted %d", gone, m.ID)
			}
		})
	}
	t.Run("locked", func(t *testing.T) {
		p := h.Plant(t, mountstest.UserOwned)
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		w := world{t, fd, ""}
		if err := Unmount(fd, w.find(p.Path, true)); !errors.Is(err, ErrLocked) {
			t.Error(err)
		}
	})
}

// Private it gets nothing, gives nothing, and stays mounted.
func TestMakePrivate(t *testing.T) {
	both(t, func(t *testing.T, unique bool) {
		w := newWorld(t)
		slave := w.clone(unix.MS_SLAVE)
		m := slave.find(w.mount("a"), unique)
		if err := MakePrivate(slave.fd, m); err != nil {
			t.Fatal(err)
		}
		before := slave.ids()
		w.mount("a/later")
		if now := slave.ids(); len(now) != len(before) {
			t.Errorf("%d mounts, and %d before something was mounted on its master", len(now), len(before))
		}
		w.do(func() error { return unix.Unmount(m.Point, unix.MNT_DETACH) })
		if gone := slave.lost(before); len(gone) != 1 { // its parent is a slave still
			t.Errorf("gone: %d", gone)
		}
		if err := MakePrivate(slave.fd, m); !errors.Is(err, ErrGone) && !(errors.Is(err, ErrOther) && !unique) {
			t.Errorf("of one that is gone: %v", err)
		}
	})
}

// loopDevice has an ext4 in it.
func loopDevice(t *testing.T) string {
	t.Helper()
	hosttest.NeedsRoot(t)
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput()
	hosttest.Needs(t, "e2fsprogs", err == nil, fmt.Sprintf("mkfs.ext4: %v %s", err, out))
	out, err = exec.Command("losetup", "--find", "--show", image).Output()
	hosttest.Needs(t, "loop", err == nil, fmt.Sprintf("losetup: %v %s", err, out))
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach: %v %s", err, out)
		}
	})
	return device
}

// Whatever comes of it, no descriptor is left open.
func TestNoDescriptorIsLeft(t *testing.T) {
	w := newWorld(t)
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	w.mount("beside")
	point, dir := w.mount("a"), w.mount("b")+"/dir"
	w.do(func() error { return os.Mkdir(dir, 0o755) })
	before := count()
	for range 5 {
		m := w.find(point, hasUnique())
		other := m
		other.ID++
		below := w.mount("a/below")
		for _, err := range []error{Unmount(w.fd, m), Unmount(w.fd, other), MakePrivate(w.fd, other)} {
			if err == nil {
				t.Error("not refused")
			}
		}
		stop := func(Saved) error { return errors.New("stop") }
		if RemoveMountpoint(w.fd, w.directory(dir), stop, nobody) == nil {
			t.Error("not stopped")
		}
		if err := errors.Join(MakePrivate(w.fd, m), Unmount(w.fd, w.find(below, hasUnique())), Unmount(w.fd, m), RemoveMountpoint(w.fd, w.directory(dir), noJournal, nobody)); err != nil {
			t.Error(err)
		}
		w.mount("a")
		if err := Unmount(w.fd, w.find(point, hasUnique())); err != nil {
			t.Error(err)
		}
		w.mount("a")
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
