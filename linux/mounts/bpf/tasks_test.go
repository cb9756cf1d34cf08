package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
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

// spaces are the mount namespaces of all processes as their links tell them, 0 of a dead one.
func spaces(t testing.TB) map[int]uint64 {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]uint64{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if inode, err := spaceOf(e.Name()); !errors.Is(err, fs.ErrPermission) {
			all[pid] = inode
		}
	}
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
		before, all, after := spaces(t), tasks(t), spaces(t)
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
		for pid, want := range before {
			if now, lives := after[pid]; !lives || now != want {
				continue // others start, end and move, on a busy machine all the time
			}
			if got, ok := first[pid]; !ok || got != want {
				t.Logf("process %d in %d is told in %d, %v", pid, want, got, ok)
				return false
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
	began := time.Now()
	hosttest.Until(t, 20*time.Second, "the thread is told in both", func() bool {
		for _, is := range tasks(t) {
			if is.PID == os.Getpid() {
				moved[is.Namespace]++
			}
		}
		return time.Since(began) > time.Second && !slices.ContainsFunc(mayBe, func(inode uint64) bool { return moved[inode] == 0 })
	})
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
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
