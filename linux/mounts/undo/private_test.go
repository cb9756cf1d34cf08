package undo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// The root of a namespace may be made private; it is not unmounted by any call.
func TestMakeRootPrivate(t *testing.T) {
	both(t, func(t *testing.T, unique bool) {
		w := newWorld(t)
		w.do(func() error { return unix.Mount("", "/", "", unix.MS_SHARED, "") })
		root := w.root(unique)
		if err := MakePrivate(w.fd, root); err != nil {
			t.Fatal(err)
		}
		if err := Unmount(w.fd, root); !errors.Is(err, ErrRoot) {
			t.Errorf("unmount it: %v", err)
		}
		another := root
		another.ID++
		if err := MakePrivate(w.fd, another); !errors.Is(err, ErrGone) && !errors.Is(err, ErrOther) {
			t.Errorf("another number: %v", err)
		}
	})
}

// root is what a look would have told of the mount on "/".
func (w world) root(unique bool) (m Mount) {
	w.t.Helper()
	err := inside(w.fd, unique, func(t table) error {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		id, err := t.id(fd)
		if err != nil {
			return err
		}
		m = Mount{ID: id, Unique: unique, Point: "/"}
		if all, err := t.mountinfo(); !unique && err == nil {
			i := slices.IndexFunc(all, func(l mounts.Mount) bool { return uint64(l.ID) == id })
			m.Device, m.Root = fmt.Sprintf("%d:%d", all[i].Major, all[i].Minor), all[i].Root
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// What will be refused is told before anything is changed.
func TestUnlocked(t *testing.T) {
	w := newWorld(t)
	free, under := w.mount("free"), w.mount("under")
	w.mount("under/on")
	gone := w.find(w.mount("gone"), true)
	w.do(func() error { return unix.Unmount(gone.Point, 0) })
	locked := userClone(t, w)
	for _, tt := range []struct {
		name string
		in   world
		m    Mount
		want error
	}{
		{"free", w, w.find(free, true), nil},
		{"another on it", w, w.find(under, true), ErrBusy},
		{"gone", w, gone, ErrGone},
		{"locked", locked, locked.find(free, true), ErrLocked},
	} {
		before := tt.in.ids()
		if err := Unlocked(tt.in.fd, tt.m); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if lost := tt.in.lost(before); len(lost) > 0 {
			t.Errorf("%s: gone: %d", tt.name, lost)
		}
	}
	if err := Unmount(w.fd, w.find(free, true)); err != nil {
		t.Error(err)
	}
}

// userClone is a copy of a world that a new user namespace owns.
func userClone(t *testing.T, w world) world {
	t.Helper()
	copied := w
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Ptrace: true} // stopped before its first instruction
	w.do(func() error {
		if err := cmd.Start(); err != nil {
			return err
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		var err error
		copied.fd, err = unix.Open("/proc/"+strconv.Itoa(cmd.Process.Pid)+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	t.Cleanup(func() { unix.Close(copied.fd) })
	return copied
}

// A directory is told by what is there, and not through what is mounted on it.
func TestFindDirectory(t *testing.T) {
	w := newWorld(t)
	point := w.mount("a")
	on := w.find(w.dir, true).ID
	w.do(func() error { return os.Mkdir(w.dir+"/b", 0o755) })
	if _, err := FindDirectory(w.fd, point, on); !errors.Is(err, ErrBusy) {
		t.Errorf("a mount point: %v", err)
	}
	if _, err := FindDirectory(w.fd, w.dir+"/b", on+1); !errors.Is(err, ErrOther) {
		t.Errorf("on another mount: %v", err)
	}
	if d, err := FindDirectory(w.fd, w.dir+"/b", on); err != nil || d != w.directory(w.dir+"/b") {
		t.Errorf("%+v, %v", d, err)
	}
}
