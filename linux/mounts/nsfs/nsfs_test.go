package nsfs

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/mountstest"
)

func TestMain(m *testing.M) { mountstest.Main(m) }

func open(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(path, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// From whichever namespace it begins, the walk comes to all, the ones without a process too.
func TestEach(t *testing.T) {
	hosttest.NeedsRoot(t)
	own := open(t, "/proc/self/ns/mnt")
	_, err := Get(own)
	hosttest.Needs(t, "statmount", err == nil, "Linux 6.12 goes from one mount namespace to the next")
	h := mountstest.Start(t, 3, 0, 1)
	thread, holder := h.Plant(t, mountstest.Thread), h.Plant(t, mountstest.NamespFD)
	for name, from := range map[string]int{
		"own":        own,
		"a thread's": open(t, fmt.Sprintf("/proc/%d/task/%d/ns/mnt", thread.PID, thread.TID)),
		"an open fd": open(t, fmt.Sprintf("/proc/%d/fd/%d", holder.PID, holder.FD)),
	} {
		seen := map[uint64]uint64{}
		err := Each(from, func(fd int, info Info) error {
			inode, err := Inode(fd)
			if id, idErr := ID(fd); id != info.ID || idErr != nil {
				t.Errorf("%s: id %d, %v; info says %d", name, id, idErr, info.ID)
			}
			if _, twice := seen[inode]; twice {
				t.Errorf("%s: mnt:[%d] twice", name, inode)
			}
			seen[inode] = info.ID
			return err
		})
		if !hosttest.FirstPIDs(t) { // from there Linux 6.18 leads to no other mount namespace
			if !errors.Is(err, unix.EPERM) || len(seen) != 1 {
				t.Errorf("%s: from a PID namespace of our own: %v, %d namespaces", name, err, len(seen))
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		for _, p := range h.Plants {
			if p.Namespace != 0 && seen[p.Namespace] != p.NamespaceID {
				t.Errorf("%s: %s: mnt:[%d] has id %d, want %d", name, p.Kind, p.Namespace, seen[p.Namespace], p.NamespaceID)
			}
		}
	}
}

// An error of the visitor ends the walk, and no descriptor is left open by it.
func TestEachEnds(t *testing.T) {
	own := open(t, "/proc/self/ns/mnt")
	_, err := Get(own)
	hosttest.Needs(t, "statmount", err == nil, "Linux 6.12 goes from one mount namespace to the next")
	enough := errors.New("enough")
	inside := !hosttest.FirstPIDs(t)
	before := descriptors(t)
	for stop := 1; stop <= 2; stop++ {
		n := 0
		err := Each(own, func(int, Info) error {
			if n++; n == stop {
				return enough
			}
			return nil
		})
		if err != enough && !(n < stop && (err == nil || inside && errors.Is(err, unix.EPERM))) {
			t.Errorf("stop at %d: %v after %d", stop, err, n)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// What is no mount namespace says so.
func TestNotANamespace(t *testing.T) {
	for _, path := range []string{"/dev/null", "/proc/self/ns/pid"} {
		fd := open(t, path)
		if info, err := Get(fd); err == nil {
			t.Errorf("%s: %+v", path, info)
		}
		if id, err := ID(fd); err == nil {
			t.Errorf("%s: id %d", path, id)
		}
		if err := Each(fd, func(int, Info) error { return nil }); err == nil {
			t.Errorf("%s: walked", path)
		}
	}
}

// The owner is the user namespace of whoever made it.
func TestOwner(t *testing.T) {
	h := mountstest.Start(t, 0, 0, 1)
	for _, tt := range []struct {
		kind string
		mine bool
	}{{mountstest.Process, true}, {mountstest.UserOwned, false}} {
		pid := h.Plant(t, tt.kind).PID
		got, err := Owner(open(t, fmt.Sprintf("/proc/%d/ns/mnt", pid)))
		if err != nil {
			t.Fatal(err)
		}
		want, err := Inode(open(t, fmt.Sprintf("/proc/%d/ns/user", pid)))
		if err != nil {
			t.Fatal(err)
		}
		mine, err := Inode(open(t, "/proc/self/ns/user"))
		if err != nil || got != want || (got == mine) != tt.mine {
			t.Errorf("%s: %v: owner %d, want %d; ours is %d", tt.kind, err, got, want, mine)
		}
	}
}

// The thread stands in the other namespace while f runs, and never again; the process never does.
func TestInside(t *testing.T) {
	h := mountstest.Start(t, 0, 0, 1)
	p := h.Plant(t, mountstest.Process)
	there := open(t, fmt.Sprintf("/proc/%d/ns/mnt", p.PID))
	proc := open(t, "/proc")
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	link := func() (string, error) {
		buf := make([]byte, 64)
		n, err := unix.Readlinkat(proc, "thread-self/ns/mnt", buf)
		return string(buf[:max(n, 0)]), err
	}
	for range 50 { // so that some begin on the first thread
		tid := 0
		err := Inside(there, func() error {
			tid = unix.Gettid()
			got, err := link()
			if want := fmt.Sprintf("mnt:[%d]", p.Namespace); got != want {
				t.Errorf("inside: %s, want %s", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if tid == os.Getpid() {
			t.Fatal("the first thread was used: it never ends")
		}
		if now, err := os.Readlink("/proc/self/ns/mnt"); err != nil || now != mine {
			t.Fatalf("the process is in %s, %v; it was in %s", now, err, mine)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, 20*time.Second, "all threads are at home", func() bool {
		for _, task := range tasks {
			if now, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/mnt"); err == nil && now != mine {
				return false
			}
		}
		return true
	})
	if err := Inside(proc, func() error { t.Error("ran"); return nil }); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a directory was entered: %v", err)
	}
}
