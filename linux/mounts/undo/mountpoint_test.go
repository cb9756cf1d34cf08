package undo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/nsfs"
)

// directory is what a look would have told of a directory of the world.
func (w world) directory(path string) (d Directory) {
	w.t.Helper()
	w.do(func() error {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		d = Directory{path, fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), st.Ino}
		return err
	})
	return d
}

// save reads all of a directory of the world.
func (w world) save(path string) (s Saved) {
	w.t.Helper()
	w.do(func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		s, err = save(f)
		return err
	})
	return s
}

func noJournal(Saved) error { return nil }

func nobody(string) error { return nil }

// dressed makes a directory that has everything, on an ext4, and below it a default
// access list and a mount point whose own attributes are others.
func dressed(t *testing.T) (w world, path string) {
	loop := loopDevice(t)
	w = newWorld(t)
	above := w.dir + "/disk"
	path = above + "/a\n\xff"
	acl := func(perm byte) string { // one user's entry and the three that must be
		return "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00" + string(perm) + "\x00\x07\x00\x00\x00" +
			"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	}
	w.do(func() error {
		return errors.Join(os.Mkdir(above, 0o755), unix.Mount(loop, above, "ext4", 0, ""), os.Mkdir(path, 0o700),
			unix.Setxattr(above, "system.posix_acl_default", []byte(acl(7)), 0),
			unix.Setxattr(path, "user.label", []byte("system_u:object_r:container_file_t:s0\x00\xff"), 0), unix.Setxattr(path, "trusted.t", nil, 0),
			unix.Setxattr(path, "security.label", []byte("secret"), 0), unix.Setxattr(path, "system.posix_acl_access", []byte(acl(4)), 0),
			os.Chown(path, 1234, 5678), os.Chmod(path, 0o750|os.ModeSetgid|os.ModeSticky),
			unix.UtimesNano(path, []unix.Timespec{{Sec: 1e9, Nsec: 1}, {Sec: 2e9, Nsec: 999999999}}))
	})
	return w, path
}

// What is mounted on the directory goes everywhere, in use or not, and the new one
// differs from the old by its number alone.
func TestRemoveMountpoint(t *testing.T) {
	w, path := dressed(t)
	others := []world{w.clone(unix.MS_PRIVATE), w.clone(unix.MS_PRIVATE)}
	for _, o := range others {
		o.do(func() error { return errors.Join(tmpfs(path), os.Mkdir(path+"/below", 0o755), tmpfs(path+"/below")) })
	}
	others[0].hold(t, path+"/below")
	old, was := w.directory(path), w.save(path)
	if len(was.Attributes) != 4 {
		t.Fatalf("%q", was.Attributes)
	}
	before := [][]uint64{w.ids(), others[0].ids(), others[1].ids()}
	var journal Saved
	write := func(s Saved) error { // as a journal has it
		text, err := json.Marshal(s)
		return errors.Join(err, json.Unmarshal(text, &journal))
	}
	if err := RemoveMountpoint(w.fd, old, write, nobody); err != nil {
		t.Fatal(err)
	}
	for i, o := range append([]world{w}, others...) {
		want := 2
		if i == 0 {
			want = 0
		}
		if gone := o.lost(before[i]); len(gone) != want {
			t.Errorf("namespace %d: gone: %d", i, gone)
		}
	}
	now := w.save(path)
	if now.Inode == was.Inode {
		t.Error("it is the old directory still")
	}
	now.Inode, was.Path, was.Temporary = was.Inode, journal.Path, journal.Temporary
	if now.Path, now.Temporary = was.Path, was.Temporary; !reflect.DeepEqual(now, was) || !reflect.DeepEqual(journal, was) {
		t.Errorf("from\n%+v\nto\n%+v\njournal\n%+v", was, now, journal)
	}
	w.alone(filepath.Dir(path), filepath.Base(path), "lost+found")
	if err := Restore(w.fd, journal, nobody); err != nil {
		t.Error(err)
	}
}

// alone proves that nothing was left behind.
func (w world) alone(dir string, names ...string) {
	w.t.Helper()
	w.do(func() error {
		list, err := os.ReadDir(dir)
		for _, e := range list {
			if !slices.Contains(names, e.Name()) {
				w.t.Errorf("%q is left in %q", e.Name(), dir)
			}
		}
		return err
	})
}

// Each refusal has its kind, and changes nothing.
func TestRemoveMountpointRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(w world, d *Directory) error
		want *Error
		text string
	}{
		{"not empty", func(_ world, d *Directory) error { return os.WriteFile(d.Path+"/\x1b[2J", nil, 0o600) }, ErrOther, `it has "\x1b[2J"`},
		{"another inode", func(_ world, d *Directory) error { d.Inode++; return nil }, ErrOther, "is by now inode"},
		{"another device", func(_ world, d *Directory) error { d.Device = "8:16"; return nil }, ErrOther, "is by now inode"},
		{"mounted here", func(_ world, d *Directory) error { return tmpfs(d.Path) }, ErrBusy, "something is mounted on"},
		{"mounted here by another path", func(w world, d *Directory) error {
			private := unix.Mount("", w.dir, "", unix.MS_PRIVATE, "") // else it comes to both
			return errors.Join(private, os.Mkdir(w.dir+"/b", 0o755), unix.Mount(w.dir+"/in", w.dir+"/b", "", unix.MS_BIND, ""), tmpfs(w.dir+"/b/a"))
		}, ErrBusy, "this or another path"},
		{"a file", func(_ world, d *Directory) error {
			return errors.Join(os.Remove(d.Path), os.WriteFile(d.Path, nil, 0o600))
		}, ErrOther, "is no directory"},
		{"a link", func(w world, d *Directory) error {
			return errors.Join(os.Rename(d.Path, d.Path+"2"), os.Symlink(d.Path+"2", d.Path))
		}, ErrOther, "is no directory"},
		{"a link above", func(w world, d *Directory) error {
			return errors.Join(os.Rename(w.dir+"/in", w.dir+"/2"), os.Symlink("2", w.dir+"/in"))
		}, ErrOther, "does not lead"},
		{"not there", func(_ world, d *Directory) error { return os.Remove(d.Path) }, ErrOther, "is not there"},
		{"the root", func(_ world, d *Directory) error { d.Path = "/"; return nil }, ErrRoot, "never touched"},
		{"two dots", func(_ world, d *Directory) error { d.Path += "/../a"; return nil }, ErrOther, "not how the kernel writes"},
		{"read-only", func(w world, d *Directory) error {
			return unix.Mount("", w.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_BIND, "")
		}, ErrFailed, "read-only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			path := w.dir + "/in/a"
			w.do(func() error { return os.MkdirAll(path, 0o755) })
			d := w.directory(path)
			w.do(func() error { return tt.make(w, &d) })
			before := w.ids()
			err := RemoveMountpoint(w.fd, d, noJournal, nobody)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v (want kind %d, %q)", err, tt.want.Kind, tt.text)
			}
			if gone := w.lost(before); len(gone) > 0 {
				t.Errorf("gone: %d", gone)
			}
			if tt.name != "a link above" {
				w.alone(w.dir+"/in", "a", "a2")
			}
		})
	}
}

// Without a journal nothing is touched.
func TestRemoveMountpointJournal(t *testing.T) {
	w := newWorld(t)
	path := w.dir + "/a"
	w.do(func() error { return os.Mkdir(path, 0o755) })
	d := w.directory(path)
	if err := RemoveMountpoint(w.fd, d, func(Saved) error { return errors.New("disk full") }, nobody); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Error(err)
	}
	if now := w.directory(path); now != d {
		t.Errorf("%+v, and was %+v", now, d)
	}
	w.alone(w.dir, "a")
}

// From wherever it was broken off, Restore leaves one directory, like the old.
func TestRestore(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(p place, s Saved) error
	}{
		{"before the first change", func(place, Saved) error { return nil }},
		{"an unfinished directory", func(p place, s Saved) error { return unix.Mkdirat(p.parent, s.Temporary, 0o700) }},
		{"a finished one", func(p place, s Saved) error { made, err := p.make(s); return errors.Join(err, made.Close()) }},
		{"put in its place", func(p place, s Saved) error {
			made, err := p.make(s)
			return errors.Join(err, made.Close(), p.rename(s, 0))
		}},
		{"exchanged", func(p place, s Saved) error {
			made, err := p.make(s)
			return errors.Join(err, made.Close(), unix.Renameat2(p.parent, s.Temporary, p.parent, p.name, unix.RENAME_EXCHANGE))
		}},
		{"the old one is gone", func(p place, s Saved) error { return unix.Unlinkat(p.parent, p.name, unix.AT_REMOVEDIR) }},
		{"gone, with an unfinished one", func(p place, s Saved) error {
			return errors.Join(unix.Unlinkat(p.parent, p.name, unix.AT_REMOVEDIR), unix.Mkdirat(p.parent, s.Temporary, 0o700))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, path := dressed(t)
			var journal Saved
			stop := errors.New("stop")
			RemoveMountpoint(w.fd, w.directory(path), func(s Saved) error { journal = s; return stop }, nobody)
			w.do(func() error {
				p, err := walk(path)
				if err != nil {
					return err
				}
				defer p.close()
				return tt.make(p, journal)
			})
			for range 2 {
				if err := Restore(w.fd, journal, nobody); err != nil {
					t.Fatal(err)
				}
				now := w.save(path)
				now.Inode, now.Path, now.Temporary = journal.Inode, journal.Path, journal.Temporary
				if !reflect.DeepEqual(now, journal) {
					t.Errorf("from\n%+v\nto\n%+v", journal, now)
				}
				w.alone(filepath.Dir(path), filepath.Base(path), "lost+found")
			}
		})
	}
	w := newWorld(t)
	for _, name := range []string{"etc", ".sexton-/../../x", ""} {
		if err := Restore(w.fd, Saved{Path: []byte(w.dir + "/a"), Temporary: name}, nobody); !errors.Is(err, ErrOther) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// On an overlay the directory may come from a lower layer, from both, or be new.
func TestRemoveMountpointOverlay(t *testing.T) {
	w := newWorld(t)
	w.do(func() error {
		var err error
		for _, dir := range []string{"lower/a", "lower/both", "upper/both", "upper/new", "work", "all"} {
			err = errors.Join(err, os.MkdirAll(w.dir+"/"+dir, 0o750))
		}
		options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", w.dir)
		return errors.Join(err, unix.Mount("overlay", w.dir+"/all", "overlay", 0, options))
	})
	o := w.clone(unix.MS_PRIVATE)
	for _, name := range []string{"a", "both", "new"} {
		path := w.dir + "/all/" + name
		o.do(func() error { return tmpfs(path) })
		before, old := o.ids(), w.directory(path)
		if err := RemoveMountpoint(w.fd, old, noJournal, nobody); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if gone := o.lost(before); len(gone) != 1 || w.directory(path).Inode == old.Inode {
			t.Errorf("%s: gone: %d", name, gone)
		}
	}
}

// While another swaps the directory with one that is as empty, either the wanted one
// is replaced or it is said that it was not.
func TestRemoveMountpointRaces(t *testing.T) {
	w := newWorld(t)
	a, b := w.dir+"/a", w.dir+"/b"
	w.do(func() error { return errors.Join(os.Mkdir(a, 0o755), os.Mkdir(b, 0o755)) })
	var stop atomic.Bool
	ended := make(chan error)
	turns := 0
	go func() {
		ended <- nsfs.Inside(w.fd, func() error {
			for ; !stop.Load(); turns++ {
				if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	kinds := map[Kind]int{}
	for range 300 {
		wanted := w.directory(a)
		err := RemoveMountpoint(w.fd, wanted, noJournal, nobody)
		kind := Kind(-1)
		if e, ok := errors.AsType[*Error](err); ok {
			kind = e.Kind
		}
		kinds[kind]++
		if kind != -1 && kind != Other {
			t.Error(err)
		}
		w.do(func() error { // both are there, and no other
			list, err := os.ReadDir(w.dir)
			for _, e := range list {
				if e.Name() != "a" && e.Name() != "b" {
					t.Errorf("%q is left", e.Name())
				}
			}
			return err
		})
	}
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	t.Logf("by kind %v, %d turns", kinds, turns)
	if turns == 0 || kinds[-1] == 0 {
		t.Error("they did not meet")
	}
}
