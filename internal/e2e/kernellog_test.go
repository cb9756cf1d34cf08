package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// The kernel has one log for the machine, and tells in it of what others do: other
// tests too. So the sandbox has an empty one in its place, and who wants to know of a
// kill reads the kernel's own, or gets what it tells of this run alone.
const kernelLog = "/run/kernel-log"

// maskKernelLog puts an empty log into the place of the kernel's own, which stays at kernelLog.
func maskKernelLog() error {
	const device, empty = "/dev/kmsg", "/run/no-log"
	if _, err := os.Stat(device); err != nil {
		return nil // there is none
	}
	for _, file := range []string{kernelLog, empty} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
	}
	for _, m := range [][2]string{{device, kernelLog}, {empty, device}} {
		if err := unix.Mount(m[0], m[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s to %s: %w", m[0], m[1], err)
		}
	}
	return nil
}

// withKernelLog leads into a mount namespace of its own with the kernel's log.
func withKernelLog(w world) world {
	w.enter = append(w.enter, "unshare", "--mount", "sh", "-c", `umount /dev/kmsg && exec "$0" "$@"`)
	return w
}

// openKernelLog opens the kernel's log at its end.
func openKernelLog(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open(kernelLog, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	hosttest.Needs(t, "kmsg", err == nil, fmt.Sprintf("a kernel log that can be read: %v", err))
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	return fd
}

// follow calls take with each record that the kernel logs from now on, and when it did,
// until the test ends.
func follow(t *testing.T, take func(record []byte, at time.Time)) {
	t.Helper()
	fd := openKernelLog(t)
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for record := make([]byte, 16<<10); ; {
			n, err := unix.Read(fd, record)
			switch {
			case err == nil:
				take(record[:n], time.Now())
				continue
			case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EPIPE):
				t.Errorf("the kernel's log: %v", err)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() { close(done); all.Wait(); unix.Close(fd) })
}

// ownLog makes a log that holds the out-of-memory reports of control groups below one.
func ownLog(t *testing.T, group string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "kmsg")
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	var report bytes.Buffer
	follow(t, func(record []byte, _ time.Time) {
		if report.Write(record); !bytes.Contains(record, []byte("Killed process")) {
			return
		}
		if bytes.Contains(report.Bytes(), []byte("/"+group+"/")) {
			if _, err := out.Write(report.Bytes()); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		report.Reset()
	})
	return file
}

// A death is when the kernel logged that it killed for want of memory.
type death struct {
	mu sync.Mutex
	at time.Time
}

func (d *death) when() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// deathOf watches for a kill of a process with one of these names in a container with this id.
func deathOf(t *testing.T, id string, comms ...string) *death {
	t.Helper()
	d := &death{}
	in := false
	follow(t, func(record []byte, at time.Time) {
		text := string(record)
		in = in || strings.Contains(text, "oom-kill:") && strings.Contains(text, id)
		if in && strings.Contains(text, "Killed process") {
			d.mu.Lock()
			defer d.mu.Unlock()
			named := func(comm string) bool { return strings.Contains(text, "("+comm+")") }
			if in = false; d.at.IsZero() && slices.ContainsFunc(comms, named) {
				d.at = at
			}
		}
	})
	return d
}
