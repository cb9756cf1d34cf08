package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/mountstest"
)

func tasks(t testing.TB) []Task {
	t.Helper()
	hosttest.NeedsRoot(t)
	all, err := Tasks()
	hosttest.Needs(t, "bpf", err == nil, fmt.Sprint(err))
	return all
}

// spaceOf is the mount namespace of a process as its link tells it, 0 of one that ended.
func spaceOf(at string) (uint64, error) {
	link, err := os.Readlink("/proc/" + at + "/ns/mnt")
	inode, _ := mounts.NamespaceInode([]byte(link))
	return inode, err
}

// Every process is told with the namespace that its link names, and a thread in another one besides.
func TestTasks(t *testing.T) {
	tasks(t)
	hosttest.NeedsKernelThreads(t) // numbers are those of the first PID namespace
	h := mountstest.Start(t, 4, 2, 2)
	thread, process := h.Plant(t, mountstest.Thread), h.Plant(t, mountstest.Process)
	hosttest.Until(t, 20*time.Second, "all processes are told as /proc has them", func() bool {
		all := tasks(t)
		for _, p := range []mountstest.Plant{thread, process} {
			if !slices.Contains(all, Task{PID: p.PID, Namespace: p.Namespace}) {
				t.Logf("%s of process %d in %d is not told", p.Kind, p.PID, p.Namespace)
				return false
			}
		}
		first := map[int]uint64{}
		for _, is := range all {
			if _, again := first[is.PID]; !again {
				first[is.PID] = is.Namespace
			}
		}
		entries, err := os.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			var pid int
			if n, _ := fmt.Sscanf(e.Name(), "%d", &pid); n != 1 {
				continue
			}
			want, err := spaceOf(e.Name())
			if got, ok := first[pid]; !errors.Is(err, fs.ErrPermission) && (!ok || got != want) {
				return false // others start and end
			}
		}
		return len(first) > 10
	})
}

// While threads go from one namespace to another as fast as they can, each is told in one that it was in.
func TestTasksMove(t *testing.T) {
	tasks(t)
	hosttest.NeedsKernelThreads(t)
	h := mountstest.Start(t, 2, 2, 1)
	stop, ended := make(chan struct{}), make(chan error)
	var spaces []int
	own, err := spaceOf("self")
	if err != nil {
		t.Fatal(err)
	}
	mayBe := []uint64{own}
	for _, p := range []mountstest.Plant{h.Plant(t, mountstest.Process), h.Plant(t, mountstest.Covered)} {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		spaces, mayBe = append(spaces, fd), append(mayBe, p.Namespace)
	}
	go mountstest.OnDyingThread(func() {
		err := unix.Unshare(unix.CLONE_FS)
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
				err = unix.Setns(spaces[i%2], unix.CLONE_NEWNS)
			}
		}
		ended <- err
	})
	moved := map[uint64]int{}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		for _, is := range tasks(t) {
			if is.PID == os.Getpid() {
				moved[is.Namespace]++
			}
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(moved) < 3 {
		t.Errorf("told in %v", moved)
	}
	for inode := range moved {
		if !slices.Contains(mayBe, inode) && inode != 1<<32-1 { // unsure
			t.Errorf("told in %d, was in %v", inode, mayBe)
		}
	}
}

func BenchmarkTasks(b *testing.B) {
	for b.Loop() {
		tasks(b)
	}
}
