package heal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/check"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/plan"
)

// A silentFUSE is a FUSE file system whose server answers no request, in a mount namespace
// of its own, and a process there that waits for one.
type silentFUSE struct {
	t      *testing.T
	device string
	reader *exec.Cmd
}

func newSilentFUSE(t *testing.T) *silentFUSE {
	t.Helper()
	hosttest.NeedsRoot(t)
	_, err := os.Stat("/dev/fuse")
	hosttest.Needs(t, "fuse", err == nil, "modprobe fuse")
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &silentFUSE{t: t, reader: exec.Command("cat", filepath.Join(dir, "file"))}
	own, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(own)
	err = nsfs.Inside(own, func() error {
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("mute", dir, "fuse.mute", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)))
		var x unix.Statx_t
		if err == nil {
			err = unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC, 0, &x)
		}
		m.device = fmt.Sprintf("%d:%d", x.Dev_major, x.Dev_minor)
		return errors.Join(err, m.reader.Start())
	})
	if err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	t.Cleanup(func() { m.reader.Process.Kill(); unix.Close(fd); m.reader.Wait() }) // the close ends the file system
	m.answerInit(fd)
	hosttest.Until(t, 20*time.Second, "it waits for the server", func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", m.reader.Process.Pid))
		return string(text) == "request_wait_answer"
	})
	return m
}

// answerInit answers the first request, by protocol 7.31. Linux 6.12 include/uapi/linux/fuse.h.
func (m *silentFUSE) answerInit(fd int) {
	m.t.Helper()
	request := make([]byte, 1<<17)
	if n, err := unix.Read(fd, request); err != nil || n < 40 {
		m.t.Fatalf("no INIT: %v", err)
	}
	reply := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 16+64), binary.NativeEndian.Uint64(request[8:]))
	reply = append(reply, make([]byte, 64)...)
	binary.NativeEndian.PutUint32(reply[16:], 7)
	binary.NativeEndian.PutUint32(reply[20:], 31)
	binary.NativeEndian.PutUint32(reply[36:], 4096)
	if _, err := unix.Write(fd, reply); err != nil {
		m.t.Fatal(err)
	}
}

// step is an abort by the thread that waits.
func (m *silentFUSE) step() (s plan.Step) {
	m.t.Helper()
	pid := m.reader.Process.Pid
	s.Action = "abort-fuse"
	s.Target = check.Target{Kind: "fuse", Device: m.device, PID: pid, TID: pid, Start: statOf(m.t, pid).Start, Comm: "cat", Switches: switchesOf(m.t, pid)}
	return s
}

// Where no mount tells whether a connection's number is still the same file system's,
// a thread does that has waited for it since; where none is known nothing is aborted.
func TestAbortByWaiter(t *testing.T) {
	m := newSilentFUSE(t)
	for _, tt := range []struct {
		name   string
		change func(*check.Target)
		status plan.Status
		says   string
	}{
		{"nothing is known", func(t *check.Target) { *t = check.Target{Kind: "fuse", Device: t.Device} }, plan.Refused, "nothing tells whether " + m.device + " is still the file system that was seen"},
		{"another process", func(t *check.Target) { t.Start++ }, plan.NotNeeded, "another"},
		{"it has run since", func(t *check.Target) { t.Switches-- }, plan.Refused, "has run since it was seen to wait"},
		{"it lives elsewhere", func(to *check.Target) {
			to.PID, to.TID, to.Start = os.Getpid(), os.Getpid(), statOf(t, os.Getpid()).Start
		}, plan.Refused, "has no FUSE file system " + m.device + " mounted by now"},
		{"no such connection", func(t *check.Target) { t.Device = "0:1048575" }, plan.NotNeeded, "has ended"},
		{"it still waits", func(*check.Target) {}, "", ""},
	} {
		s := m.step()
		tt.change(&s.Target)
		out, err := openJournal(t, filepath.Join(t.TempDir(), "j")).Child(t.Context(), plan.Plan{}, s)
		if err != nil || out.Status != tt.status || !strings.Contains(out.Why, tt.says) && tt.name != "another process" {
			t.Errorf("%s: %v, %q: %s", tt.name, err, out.Status, out.Why)
		}
		if m.reader.ProcessState != nil {
			t.Fatalf("%s: the reader has ended", tt.name)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- m.reader.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the reader waits still")
	}
}
