package holders

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

// Who holds a tree that is in no namespace is named, with what holds it.
func TestDetached(t *testing.T) {
	h := mountstest.Start(t, 0, 0, 1)
	type held struct {
		PID, FD int
		Kind    Kind
		Mount   uint64
	}
	got, want := map[string][]held{}, map[string][]held{}
	kinds := map[string]Kind{mountstest.OpenTree: FD, mountstest.Cwd: Cwd, mountstest.File: FD, mountstest.Mapping: Mapping}
	byDevice := map[mounts.Device]string{}
	for kind, how := range kinds {
		p := h.Plant(t, kind)
		byDevice[mounts.Device{Major: p.Major, Minor: p.Minor}] = kind
		want[kind] = []held{{p.PID, p.FD, how, p.UniqueID}}
	}
	unknown, err := Refs(context.Background(), RefRequest{}, func(ref Ref) error {
		kind, ok := byDevice[ref.Device]
		if !ok {
			return nil
		}
		mount := ref.MountID
		if !ref.Unique || kind == mountstest.OpenTree { // its copy has an id of its own
			mount = want[kind][0].Mount
		}
		got[kind] = append(got[kind], held{ref.PID, ref.FD, ref.Kind, mount})
		if ref.Inode == 0 || ref.MountID == 0 || ref.Link == "" || ref.TID != 0 || (ref.Kind == Mapping) != (ref.Range != "") {
			t.Errorf("%+v", ref)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s\nunknown: %v", diff, unknown)
	}
}

// What is not on a mount is left out, and a thread's own table is read.
func TestOwnReferences(t *testing.T) {
	hosttest.NeedsRoot(t)
	dir := t.TempDir()
	memory, err := unix.MemfdCreate("/tmp/x", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memory)
	var stat unix.Stat_t
	if err := unix.Fstat(memory, &stat); err != nil {
		t.Fatal(err)
	}
	opened, done := make(chan [2]int), make(chan struct{})
	go mountstest.OnDyingThread(func() {
		err := unix.Unshare(unix.CLONE_FILES | unix.CLONE_FS)
		if err == nil {
			err = unix.Chdir(dir)
		}
		fd, openErr := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err := errors.Join(err, openErr); err != nil {
			t.Error(err)
		}
		opened <- [2]int{unix.Gettid(), fd}
		<-done
	})
	thread := <-opened
	defer close(done)
	var got []Ref
	begun := map[Kind]int{}
	unknown, err := Refs(context.Background(), RefRequest{PIDs: []int{os.Getpid()}, Begin: func(pid int, kind Kind) { begun[kind] = pid }}, func(ref Ref) error {
		if ref.Device.Major == unix.Major(stat.Dev) && ref.Device.Minor == unix.Minor(stat.Dev) {
			t.Errorf("memory: %+v", ref)
		}
		if ref.Link == dir {
			got = append(got, Ref{PID: ref.PID, TID: ref.TID, Kind: ref.Kind, FD: ref.FD})
		}
		return nil
	})
	want := []Ref{{PID: os.Getpid(), TID: thread[0], Kind: Cwd}, {PID: os.Getpid(), TID: thread[0], Kind: FD, FD: thread[1]}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || len(unknown) != 0 {
		t.Errorf("%v, unknown %v (-want +got)\n%s", err, unknown, diff)
	}
	if diff := cmp.Diff(map[Kind]int{FD: os.Getpid(), Mapping: os.Getpid()}, begun); diff != "" {
		t.Error(diff)
	}
}

// An error of visit, and an ended context, stop it at once.
func TestStops(t *testing.T) {
	enough := errors.New("enough")
	n := 0
	if _, err := Refs(context.Background(), RefRequest{PIDs: []int{os.Getpid()}}, func(Ref) error { n++; return enough }); err != enough || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n = 0
	unknown, err := Refs(ctx, RefRequest{PIDs: []int{os.Getpid()}}, func(Ref) error { n++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || n != 1 || len(unknown) != 0 {
		t.Errorf("%v after %d, unknown %v", err, n, unknown)
	}
	if unknown, err := Refs(context.Background(), RefRequest{PIDs: []int{1 << 30}}, func(Ref) error { return nil }); err != nil || len(unknown) != 0 {
		t.Errorf("a process that is gone: %v, %v", err, unknown)
	}
	if _, err := Refs(context.Background(), RefRequest{Proc: t.TempDir() + "/x"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no /proc: %v", err)
	}
}

// The cost of one reference.
func BenchmarkRefs(b *testing.B) {
	for range 500 {
		fd, err := unix.Open(b.TempDir(), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(fd) })
	}
	for name, keep := range map[string]bool{"all": true, "none wanted": false} {
		b.Run(name, func(b *testing.B) {
			n := 0
			req := RefRequest{PIDs: []int{os.Getpid()}, Want: func(*Ref) bool { n++; return keep }}
			for b.Loop() {
				if _, err := Refs(context.Background(), req, func(Ref) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/ref")
		})
	}
}

// Where the kernel tells of mappings, the mapped files are those of the links, each by
// each of its mounts: also one that is cut in pieces, and those beside others of the same
// file by another mount, where that is of the same name too.
func TestMappingsAreTheLinks(t *testing.T) {
	hosttest.NeedsRoot(t)
	dir, other := t.TempDir(), t.TempDir()
	size := 3 * os.Getpagesize()
	if err := os.WriteFile(dir+"/file", make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	const anonymous = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	room, err := unix.MmapPtr(-1, 0, nil, uintptr(3*size), unix.PROT_NONE, anonymous)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.MunmapPtr(room, uintptr(3*size))
	mapped := make(chan error, 1)
	go mountstest.OnDyingThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount(dir, other, "", unix.MS_BIND, ""))
		}
		for i, in := range []string{other, dir, dir} {
			if i == 2 && err == nil {
				err = unix.Mount(dir, dir, "", unix.MS_BIND, "")
			}
			if err == nil {
				err = mapAt(unsafe.Add(room, i*size), in+"/file", size)
			}
		}
		if err == nil {
			err = unix.Mprotect(unsafe.Slice((*byte)(unsafe.Add(room, os.Getpagesize())), os.Getpagesize()), unix.PROT_NONE)
		}
		mapped <- err
	})
	if err := <-mapped; err != nil {
		t.Fatal(err)
	}
	read := func(noQuery bool) (refs []Ref) {
		w, err := newWalker(context.Background(), "/proc")
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		r := newRefWalk(w, RefRequest{}, func(ref Ref) error { refs = append(refs, ref); return nil })
		r.noQuery = noQuery
		r.mappings(os.Getpid())
		hosttest.Needs(t, "procmap-query", r.noQuery == noQuery, "Linux 6.11")
		if len(w.unknown) > 0 {
			t.Error(w.unknown)
		}
		return refs
	}
	asked := read(false)
	if diff := cmp.Diff(read(true), asked); diff != "" {
		t.Errorf("(-links +asked)\n%s", diff)
	}
	var file unix.Stat_t
	if err := unix.Stat(dir+"/file", &file); err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, ref := range asked {
		if ref.Inode == file.Ino && strings.HasSuffix(ref.Link, "/file") {
			links = append(links, ref.Link)
		}
	}
	if len(links) != 3 {
		t.Errorf("the file by %q, want it by each of its mounts: %+v", links, asked)
	}
}

// A file whose first piece changes while it is looked at is told by the next one.
func TestMappingThatChanges(t *testing.T) {
	hosttest.NeedsRoot(t)
	page := os.Getpagesize()
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, make([]byte, 3*page), 0o600); err != nil {
		t.Fatal(err)
	}
	room, err := unix.MmapPtr(-1, 0, nil, uintptr(3*page), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.MunmapPtr(room, uintptr(3*page))
	pages := unsafe.Slice((*byte)(room), 3*page)
	if err := errors.Join(mapAt(room, path, 3*page), unix.Mprotect(pages[2*page:], unix.PROT_NONE)); err != nil {
		t.Fatal(err)
	}
	w, err := newWalker(context.Background(), "/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	found := false
	r := newRefWalk(w, RefRequest{}, func(ref Ref) error { found = found || ref.Link == path; return nil })
	changed, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(changed)
		for on := false; ; on = !on {
			select {
			case <-done:
				return
			default:
				unix.Mprotect(pages[:page], map[bool]int{true: unix.PROT_NONE, false: unix.PROT_READ}[on])
			}
		}
	}()
	missed := 0
	for range 2000 {
		found = false
		if r.mappings(os.Getpid()); !found {
			missed++
		}
	}
	close(done)
	<-changed
	if missed > 0 || len(w.unknown) > 0 {
		t.Errorf("missed %d times, unknown %v", missed, w.unknown)
	}
}

func mapAt(at unsafe.Pointer, path string, size int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.MmapPtr(fd, 0, at, uintptr(size), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED)
	return err
}

// With Superblock the mappings of one file system are found, and no others.
func TestMappingsOfSuperblock(t *testing.T) {
	h := mountstest.Start(t, 0, 0, 1)
	p := h.Plant(t, mountstest.Mapping)
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	err = new(piece).next(int(maps.Fd()), 0, nil)
	hosttest.Needs(t, "procmap-query", err != unix.ENOTTY, "Linux 6.11")
	of := func(d mounts.Device) bool { return d == mounts.Device{Major: p.Major, Minor: p.Minor} }
	for _, tt := range []struct {
		name string
		want func(mounts.Device) bool
		mine int
	}{
		{"its own", of, 1},
		{"another", func(d mounts.Device) bool { return !of(d) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mine, others := 0, 0
			_, err := Refs(context.Background(), RefRequest{PIDs: []int{p.PID}, Superblock: tt.want}, func(ref Ref) error {
				switch {
				case ref.Kind != Mapping:
				case !of(ref.Device):
					others++
				case ref.MountID == p.UniqueID && ref.Link != "" && ref.Range != "":
					mine++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if mine != tt.mine || (others == 0) != (tt.mine == 1) {
				t.Errorf("%d mappings of it, %d of others; want %d of it", mine, others, tt.mine)
			}
		})
	}
}
