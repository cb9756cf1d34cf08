package holders

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// A Ref prints whole: a part of it that has a String of its own must not stand for all.
func TestRefPrints(t *testing.T) {
	if got := fmt.Sprintf("%+v", Ref{PID: 7, Kind: Cwd, Link: "/a"}); !strings.Contains(got, "PID:7") || !strings.Contains(got, "/a") {
		t.Error(got)
	}
}

// A process with very much open is told to go on as it is looked at: it is not blocked.
func TestBeginGoesOn(t *testing.T) {
	const many = 2500
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for range many {
		fd, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("%v: ulimit -n %d", err, many+100)
		}
		defer unix.Close(fd)
	}
	begun := 0
	req := RefRequest{PIDs: []int{os.Getpid()}, Begin: func(_ int, kind Kind) {
		if kind == FD {
			begun++
		}
	}}
	if _, err := Refs(context.Background(), req, func(Ref) error { return nil }); err != nil || begun != 1+many/1000 {
		t.Errorf("told %d times, %v", begun, err)
	}
}

func walkerOf(t *testing.T, ctx context.Context) *walker {
	t.Helper()
	w, err := newWalker(ctx, "/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// openNamespace opens our own mount namespace, until the test ends.
func openNamespace(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Threads are not compared any more when time is up: thousands take minutes.
func TestSharesUntilTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := walkerOf(t, ctx)
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	with := []int{os.Getpid()}
	if hosttest.NeedsRoot(t); w.shares(kcmpFiles, with, other.Process.Pid) {
		t.Fatalf("two processes share their files: %v", w.unknown)
	}
	if cancel(); !w.shares(kcmpFiles, with, other.Process.Pid) {
		t.Error("compared after the end of the context")
	}
}

// The descriptors of one process are not read on when time is up.
func TestPinsUntilTimeIsUp(t *testing.T) {
	openNamespace(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := walkerOf(t, ctx)
	found := func() int {
		p := pinWalk{walker: w, pins: map[uint64][]Pin{}}
		p.table("self/fd", Pin{Kind: FD})
		return len(p.pins)
	}
	if n := found(); n != 1 {
		t.Errorf("%d namespaces, unknown %v", n, w.unknown)
	}
	if cancel(); found() != 0 {
		t.Error("read on after the end of the context")
	}
}

// However many descriptors of one namespace a process has, it is told to keep it by a few.
func TestPinsOfOneProcessAreBounded(t *testing.T) {
	fd := openNamespace(t)
	for range 100 {
		another, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(another)
	}
	w := walkerOf(t, context.Background())
	p := pinWalk{walker: w, pins: map[uint64][]Pin{}}
	p.table("self/fd", Pin{Kind: FD})
	for inode, pins := range p.pins {
		if len(pins) != mostTold {
			t.Errorf("mnt:[%d] is kept by %d descriptors, want %d", inode, len(pins), mostTold)
		}
	}
}
