package bpf

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

func open(t testing.TB) *Reader {
	t.Helper()
	hosttest.NeedsRoot(t)
	r, err := Open()
	hosttest.Needs(t, "bpf", err == nil, fmt.Sprint(err))
	r.Tell(Peers | Sources)
	t.Cleanup(r.Close)
	return r
}

func ownNamespace(t testing.TB) int {
	t.Helper()
	fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// listed is what statmount tells of a namespace.
func listed(t testing.TB, id uint64) (all []mounts.Mount, magic []uint64) {
	t.Helper()
	caller := statmount.NewCaller()
	ids, err := caller.List(id, nil)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	for _, unique := range ids {
		var m mounts.Mount
		_, of, err := caller.Stat(id, unique, statmount.Device|statmount.Basic, &m)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Options = "" // which BPF does not tell
		all, magic = append(all, m), append(magic, of)
	}
	return all, magic
}

// of is a mount as statmount tells it.
func (r *Reader) of(m *Mount) mounts.Mount {
	return mounts.Mount{UniqueID: m.ID, UniqueParent: m.Parent, ID: int(m.OldID), Parent: int(m.OldParent), Major: m.Device().Major, Minor: m.Device().Minor,
		Shared: int(m.Shared), Master: int(m.Master), Unbindable: r.Unbindable(m)}
}

// The parts of struct mount that are copied have all that is read of it.
func TestLayout(t *testing.T) {
	open(t)
	at, err := kernelLayout()
	if err != nil || at.SB != at.Root+8 || at.Place > at.Parent || at.Place+at.PlaceSize < at.SB+8 || at.IDs > at.ID || at.IDs+at.IDsSize < at.Unique+8 {
		t.Errorf("%+v, %v", at, err)
	}
}

// What listmount lists is there, with the numbers that statmount tells, in every
// namespace of a host; what is besides is not below the root.
func TestMounts(t *testing.T) {
	r := open(t)
	planted := map[uint64]bool{}
	for _, p := range mountstest.Start(t, 5, 7, 1).Plants {
		planted[p.NamespaceID] = true
	}
	spaces, compared, moving := 0, 0, 0
	err := nsfs.Each(ownNamespace(t), func(fd int, info nsfs.Info) error {
		spaces++
		moved := 0
		hosttest.Until(t, 20*time.Second, fmt.Sprintf("namespace %d is the same by both", info.ID), func() bool {
			want, magic := listed(t, info.ID)
			got, bottom, err := r.Mounts(fd, nil)
			if again, _ := listed(t, info.ID); errors.Is(err, ErrTorn) || !slices.Equal(want, again) {
				moved++
				if moved < 100 || planted[info.ID] {
					return false
				}
				moving++ // another test's, in which mounts come and go all the time
				return true
			}
			if err != nil {
				t.Fatal(err)
			}
			more := 0
			for i := range got {
				at, ok := slices.BinarySearchFunc(want, got[i].ID, func(m mounts.Mount, id uint64) int { return cmp.Compare(m.UniqueID, id) })
				switch {
				case !ok:
					more++
				case want[at] != r.of(&got[i]) || magic[at] != uint64(got[i].Magic):
					return false
				}
			}
			after, err := nsfs.Get(fd)
			compared += len(want)
			return err == nil && len(got) == 1+after.Mounts && len(got)-more == len(want) && has(got, bottom)
		})
		return nil
	})
	if err != nil && !errors.Is(err, unix.EPERM) || compared == 0 {
		t.Errorf("%v, %d mounts of %d namespaces", err, compared, spaces)
	}
	t.Logf("%d mounts of %d namespaces, of which %d did not stand still", compared, spaces, moving)
}

func has(all []Mount, id uint64) bool {
	return slices.ContainsFunc(all, func(m Mount) bool { return m.ID == id })
}

// inside calls f on a thread that has a mount namespace of its own, and ends with it.
func inside(t testing.TB, f func() error) {
	t.Helper()
	failed := make(chan error)
	go mountstest.OnDyingThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = f()
		}
		failed <- err
	})
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// A namespace of more mounts than one call tells.
func TestPages(t *testing.T) {
	r := open(t)
	dir := t.TempDir()
	inside(t, func() error {
		fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		id, err := nsfs.ID(fd)
		if err != nil {
			return err
		}
		before, _, err := r.Mounts(fd, nil)
		if err != nil {
			return err
		}
		seen, _ := listed(t, id)
		hidden := len(before) - len(seen)
		for made := 0; made <= 2*room+1; made++ {
			if all := len(before) + made; all%room <= 1 || all%room == room-1 { // beside the ends of pages
				got, _, err := r.Mounts(fd, nil)
				want, _ := listed(t, id)
				if err != nil || len(got) != len(want)+hidden || !slices.IsSortedFunc(got, func(a, b Mount) int { return cmp.Compare(a.ID, b.ID) }) {
					return fmt.Errorf("%d of %d mounts, %v", len(got), len(want)+hidden, err)
				}
			}
			if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// While mounts come and go as fast as they can, each answer is of one moment: those that
// stay are there as they are, and of the others, of which the oldest goes when a new one has come, so many.
func TestChurn(t *testing.T) {
	r := open(t)
	const others = 300
	stop, ended := make(chan struct{}), make(chan int)
	var fd int
	var id uint64
	var stay []mounts.Mount
	dir := t.TempDir()
	inside(t, func() (err error) {
		if fd, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		if id, err = nsfs.ID(fd); err != nil {
			return err
		}
		stay, _ = listed(t, id)
		ready := make(chan error)
		go mountstest.OnDyingThread(func() { churn(fd, dir, others, ready, stop, ended) })
		return <-ready
	})
	defer unix.Close(fd)
	told, torn, few, many := 0, 0, 1<<30, 0
	missed := map[uint64]bool{}
	enough := func() bool { return told >= 100 && many-few == 1 }
	for began := time.Now(); !t.Failed(); {
		if took := time.Since(began); took > 20*time.Second || took > 3*time.Second && enough() {
			break
		}
		got, _, err := r.Mounts(fd, nil)
		if errors.Is(err, ErrTorn) {
			torn++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		told++
		others := len(got)
		for i := range got {
			if i > 0 && got[i].ID <= got[i-1].ID || got[i].Magic == 0 {
				t.Errorf("%+v after %+v", got[i], got[i-1])
			}
		}
		for _, m := range stay {
			at, ok := slices.BinarySearchFunc(got, m.UniqueID, func(m Mount, id uint64) int { return cmp.Compare(m.ID, id) })
			if ok {
				others--
			}
			if !ok || r.of(&got[at]) != m {
				missed[m.UniqueID] = true
			}
		}
		few, many = min(few, others), max(many, others)
	}
	close(stop)
	t.Logf("%d answers of %d to %d mounts, %d times torn, %d mounts and unmounts", told, few, many, torn, <-ended)
	if !enough() {
		t.Errorf("%d answers of %d to %d mounts", told, few, many)
	}
	left, _ := listed(t, id)
	for _, m := range left { // one of the machine's goes with its directory
		if missed[m.UniqueID] {
			t.Errorf("%+v was not there as it is", m)
		}
	}
}

// churn has as many mounts in a namespace, and then mounts another one and
// unmounts the oldest until it is stopped.
func churn(namespace int, dir string, others int, ready chan error, stop chan struct{}, ended chan int) {
	n := 0
	mount := func() error {
		at := filepath.Join(dir, fmt.Sprint(n))
		n++
		return cmp.Or(os.Mkdir(at, 0o755), unix.Mount("churn", at, "tmpfs", 0, "size=4k"))
	}
	err := cmp.Or(unix.Unshare(unix.CLONE_FS), unix.Setns(namespace, unix.CLONE_NEWNS), unix.Mount("churn", dir, "tmpfs", 0, ""))
	for err == nil && n < others {
		err = mount()
	}
	ready <- err
	for err == nil {
		select {
		case <-stop:
			ended <- n
			return
		default:
			err = mount()
			if n%8 == 0 { // or the one more is hardly ever seen, where an unmount takes long
				time.Sleep(time.Millisecond)
			}
			err = cmp.Or(err, unix.Unmount(filepath.Join(dir, fmt.Sprint(n-1-others)), unix.MNT_DETACH))
		}
	}
	ended <- -1
}

// A namespace is as it was read until a mount comes, moves or goes.
func TestStill(t *testing.T) {
	r := open(t)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	inside(t, func() error {
		fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, change := range []struct {
			name string
			do   func() error
			same bool
		}{
			{"nothing", func() error { return cmp.Or(os.Mkdir(from, 0o755), os.Mkdir(to, 0o755)) }, true},
			{"mount", func() error { return unix.Mount("still", from, "tmpfs", 0, "") }, false},
			{"another namespace's", func() error { return elsewhere(to) }, true},
			{"move", func() error { return unix.Mount(from, to, "", unix.MS_MOVE, "") }, false},
			{"unmount", func() error { return unix.Unmount(to, 0) }, false},
		} {
			if _, _, err := r.Mounts(fd, nil); err != nil {
				return err
			}
			if err := change.do(); err != nil {
				return fmt.Errorf("%s: %w", change.name, err)
			}
			if still, err := r.Still(fd); err != nil || still != change.same {
				t.Errorf("after %s: %v, %v", change.name, still, err)
			}
		}
		if still, err := r.Still(-1); err == nil || still {
			t.Errorf("no namespace is as it was: %v", err)
		}
		return nil
	})
}

// elsewhere mounts in another namespace.
func elsewhere(dir string) error {
	failed := make(chan error)
	go mountstest.OnDyingThread(func() {
		failed <- cmp.Or(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("elsewhere", dir, "tmpfs", 0, ""))
	})
	return <-failed
}

// A descriptor that is not open is no namespace.
func TestNoDescriptor(t *testing.T) {
	r := open(t)
	file, err := unix.Open("/proc/self/ns", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(file)
	for _, fd := range []int{-1, 1 << 20, file} {
		if all, _, err := r.Mounts(fd, nil); err == nil || errors.Is(err, ErrTorn) || len(all) > 0 {
			t.Errorf("%d: %d mounts, %v", fd, len(all), err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		r, err := Open()
		hosttest.Needs(b, "bpf", err == nil, fmt.Sprint(err))
		r.Close()
	}
}

func BenchmarkMounts(b *testing.B) {
	r := open(b)
	fd := ownNamespace(b)
	var all []Mount
	for b.Loop() {
		var err error
		if all, _, err = r.Mounts(fd, all[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(all)), "ns/mount")
}
