package holders_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/census"
	"sexton.dev/linux/mounts/holders"
	"sexton.dev/linux/mounts/mountstest"
	"sexton.dev/linux/mounts/nsfs"
)

// What keeps each planted namespace is named; the one that flies has nothing.
func TestPins(t *testing.T) {
	h := mountstest.Start(t, 1, 0, 1)
	c, err := census.Read(context.Background(), census.Request{})
	if err != nil {
		t.Fatal(err)
	}
	pins, unknown, err := holders.Pins(context.Background(), holders.PinRequest{Spaces: c.Namespaces})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range h.Plants {
		var want, got []string
		switch p.Kind {
		case mountstest.Process, mountstest.Chrooted, mountstest.UserOwned, mountstest.Covered:
			want = []string{fmt.Sprintf("process %d 0 0 ", p.PID)}
		case mountstest.Thread:
			want = []string{fmt.Sprintf("thread %d %d 0 ", p.PID, p.TID)}
		case mountstest.NamespFD:
			want = []string{fmt.Sprintf("fd %d 0 %d ", p.PID, p.FD)}
		case mountstest.Bind:
			want = []string{"bind 0 0 0 " + p.BoundAt}
		case mountstest.Flying: // nothing
		default:
			continue
		}
		for _, pin := range pins[p.Namespace] {
			got = append(got, fmt.Sprintf("%s %d %d %d %s", pin.Kind, pin.PID, pin.TID, pin.FD, pin.Path))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s\nunknown %v", p.Kind, diff, unknown)
		}
	}
}

// Where descriptors in flight are asked for, the one that flies is kept by a socket,
// perhaps; the others, which something is known to keep, by none.
func TestPinsInFlight(t *testing.T) {
	listed := hosttest.FirstPIDs(t) // else the kernel does not tell that there is one that flies
	h := mountstest.Start(t, 1, 0, 1)
	c, err := census.Read(context.Background(), census.Request{})
	if err != nil {
		t.Fatal(err)
	}
	pins, unknown, err := holders.Pins(context.Background(), holders.PinRequest{Spaces: c.Namespaces, InFlight: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range h.Plants {
		got := slices.ContainsFunc(pins[p.Namespace], func(pin holders.Pin) bool { return pin.Kind == holders.Socket && pin.PID != 0 })
		if want := listed && p.Kind == mountstest.Flying; got != want {
			t.Errorf("%s is kept by %v, unknown %v", p.Kind, pins[p.Namespace], unknown)
		}
	}
}

// However many sockets something waits in, a namespace is told a few of them.
func TestPinsInFlightAreBounded(t *testing.T) {
	listed := hosttest.FirstPIDs(t)
	h := mountstest.Start(t, 0, 0, 1)
	for range 100 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[0])
		defer unix.Close(pair[1])
		if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(0), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	c, err := census.Read(context.Background(), census.Request{})
	if err != nil {
		t.Fatal(err)
	}
	pins, _, err := holders.Pins(context.Background(), holders.PinRequest{Spaces: c.Namespaces, InFlight: true})
	for _, p := range h.Plants {
		if n := len(pins[p.Namespace]); p.Kind == mountstest.Flying && (listed && n == 0 || n > 64) {
			t.Errorf("kept by %d sockets, %v", n, err)
		}
	}
}

// A thread of the caller's that is looking around in a namespace keeps it for
// nobody: who holds it is still looked for, and named.
func TestPinsLeavesOutItsOwnLook(t *testing.T) {
	h := mountstest.Start(t, 1, 0, 1)
	for _, p := range h.Plants {
		if p.Kind != mountstest.NamespFD {
			continue
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/fd/%d", p.PID, p.FD), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		entered, leave := make(chan struct{}), make(chan struct{})
		gone := make(chan error)
		go func() {
			gone <- nsfs.Inside(fd, func() error { close(entered); <-leave; return nil })
		}()
		<-entered
		unix.Close(fd)
		pins, _, err := holders.Pins(context.Background(), holders.PinRequest{Descriptors: true})
		close(leave)
		if err := errors.Join(err, <-gone); err != nil {
			t.Fatal(err)
		}
		want := []holders.Pin{{Kind: holders.FD, PID: p.PID, FD: p.FD}}
		if diff := cmp.Diff(want, pins[p.Namespace]); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		return
	}
	t.Fatal("the host has no namespace that a descriptor keeps")
}
