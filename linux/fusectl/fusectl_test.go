package fusectl

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// insideVar says that this runs in a mount namespace of its own.
const insideVar = "SEXTON_FUSECTL_INSIDE"

const patience = 20 * time.Second

// ownMounts runs the test again in a mount namespace of its own, with all mounts
// private, and reports whether this is there.
func ownMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	hosttest.NeedsRoot(t)
	kinds, _ := os.ReadFile("/proc/filesystems")
	_, err := os.Stat("/dev/fuse")
	hosttest.Needs(t, "fuse", err == nil && bytes.Contains(kinds, []byte("\tfusectl\n")), "modprobe fuse")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// A server is the other end of a FUSE file system. It answers INIT, and then
// nothing, as one that is stopped.
type server struct {
	t     *testing.T
	dir   string
	fd    int
	minor int
}

func mount(t *testing.T) *server {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: t.TempDir(), fd: fd}
	if err := unix.Mount("test", s.dir, "fuse.test", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH); unix.Close(s.fd) })
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, s.dir, unix.AT_STATX_DONT_SYNC, 0, &x); err != nil {
		t.Fatal(err)
	}
	s.minor = int(x.Dev_minor)
	return s
}

// init answers the first request, INIT, by protocol 7.31. Linux 6.12 include/uapi/linux/fuse.h.
func (s *server) init() {
	s.t.Helper()
	request := make([]byte, 1<<17)
	n, err := unix.Read(s.fd, request)
	if err != nil || n < 40 || binary.NativeEndian.Uint32(request[4:]) != 26 {
		s.t.Fatalf("no INIT: %v, %d bytes", err, n)
	}
	answer := make([]byte, 16+64)
	binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
	copy(answer[8:16], request[8:16])
	binary.NativeEndian.PutUint32(answer[16:], 7)
	binary.NativeEndian.PutUint32(answer[20:], 31)
	if _, err := unix.Write(s.fd, answer); err != nil {
		s.t.Fatal(err)
	}
}

// reader starts a program that waits for the server, and tells how it ended.
func (s *server) reader() chan string {
	s.t.Helper()
	cmd := exec.Command("/bin/ls", s.dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() { err := cmd.Wait(); ended <- fmt.Sprint(err, ": ", said.String()) }()
	return ended
}

func (s *server) open() *Connection {
	s.t.Helper()
	c, err := Open(s.t.Context(), s.minor)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func wants(t *testing.T, err, is error, part string) {
	t.Helper()
	if !errors.Is(err, is) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want %v with %q", err, is, part)
	}
}

func mountTable(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The whole way, with the control files mounted and without.
func TestAbort(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	for unix.Unmount(Mounted, 0) == nil { // in this namespace
	}
	t.Run("not mounted", testAbort)
	if err := unix.Mount("none", Mounted, "fusectl", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Run("mounted", testAbort)
}

func testAbort(t *testing.T) {
	s, other := mount(t), mount(t)
	s.init()
	before := mountTable(t)
	c := s.open()
	hosttest.Until(t, patience, "INIT is answered", func() bool { n, err := c.Waiting(); return err == nil && n == 0 })
	wants(t, c.Abort(t.Context()), ErrRefused, "no request waits")
	ended := s.reader()
	hosttest.Until(t, patience, "it waits", func() bool { n, err := c.Waiting(); return err == nil && n == 1 })
	late, cancel := context.WithCancel(t.Context())
	cancel()
	wants(t, c.Abort(late), context.Canceled, "not aborted")
	select {
	case how := <-ended:
		t.Fatalf("the reader ended before: %s", how)
	default:
	}
	if err := c.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case how := <-ended:
		if !strings.Contains(how, "abort") && !strings.Contains(how, "not connected") {
			t.Errorf("the reader ended with %s", how)
		}
	case <-time.After(patience):
		t.Fatal("the reader waits still")
	}
	if now := mountTable(t); now != before {
		t.Errorf("mounts before:\n%snow:\n%s", before, now)
	}
	if n, err := other.open().Waiting(); err != nil || n != 1 { // its INIT
		t.Errorf("the other file system has %d waiting, %v", n, err)
	}
	if err := unix.Unmount(s.dir, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(s.fd)
	s.fd = -1
	wants(t, c.Abort(t.Context()), ErrGone, "has ended") // by the descriptor, whoever has the number now
}

// A tmpfs, or nothing, at the place of the control files is not taken for them.
func TestForeignPlace(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	s := mount(t)
	if err := unix.Mount("none", Mounted, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	trap := fmt.Sprintf("%s/%d", Mounted, s.minor)
	if err := os.Mkdir(trap, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trap+"/waiting", []byte("7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := s.open().Waiting(); err != nil || n != 1 {
		t.Errorf("%d waiting, %v", n, err)
	}
}

func TestOpenRefused(t *testing.T) {
	for _, minor := range []int{0, -1, 1 << 20} {
		_, err := Open(t.Context(), minor)
		wants(t, err, ErrRefused, "a minor number is from 1")
	}
	hosttest.NeedsRoot(t)
	kinds, _ := os.ReadFile("/proc/filesystems")
	hosttest.Needs(t, "fuse", bytes.Contains(kinds, []byte("\tfusectl\n")), "modprobe fuse")
	_, err := Open(t.Context(), 1<<20-1)
	wants(t, err, ErrGone, "connection 1048575")
}
