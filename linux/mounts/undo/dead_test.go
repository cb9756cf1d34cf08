package undo

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// act is what this program does as a child: it unmounts what it is told in the
// namespace that it got as a descriptor.
func act(order string) {
	var m Mount
	err := json.Unmarshal([]byte(order), &m)
	if err == nil {
		err = Unmount(3, m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const orderVar = "SEXTON_UNDO_ORDER"

// apart unmounts in a child that is killed when its time is up.
func apart(t *testing.T, d time.Duration, w world, m Mount) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	order, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(w.fd)
	if err != nil {
		t.Fatal(err)
	}
	ns := os.NewFile(uintptr(fd), "mnt")
	defer ns.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), orderVar+"="+string(order)), []*os.File{ns}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// A server that is dead holds up nothing but what lies below its file system, and
// there the child can be given up.
func TestDeadServer(t *testing.T) {
	w := newWorld(t)
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	hosttest.Needs(t, "fuse", err == nil, fmt.Sprintf("/dev/fuse: %v", err))
	dead := w.dir + "/dead"
	w.do(func() error {
		return errors.Join(os.Mkdir(dead, 0o755), unix.Mount("dead", dead, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device)))
	})
	stop, ended := make(chan struct{}), make(chan error)
	go func() { ended <- serve(device, stop) }()
	point := dead + "/d"
	w.do(func() error { return tmpfs(point) })
	below, beside := w.find(point, hasUnique()), w.find(w.mount("beside"), hasUnique())
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := apart(t, 20*time.Second, w, beside); err != nil {
		t.Errorf("beside it: %v", err)
	}
	began := time.Now()
	if err := apart(t, 2*time.Second, w, below); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("below it: %v after %v", err, time.Since(began))
	}
	w.do(func() error { return unix.Unmount(dead, unix.MNT_DETACH) })
	unix.Close(device)
}

// serve answers what mounting on the directory d takes, and nothing from stop on.
//
// Source: Linux 6.12 include/uapi/linux/fuse.h.
func serve(device int, stop <-chan struct{}) error {
	const lookup, getattr, begin = 1, 3, 26
	if err := unix.SetNonblock(device, true); err != nil {
		return err
	}
	attributes := make([]byte, 88)
	binary.NativeEndian.PutUint32(attributes[60:], unix.S_IFDIR|0o755)
	binary.NativeEndian.PutUint32(attributes[64:], 2)
	buffer := make([]byte, 1<<17)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		n, err := unix.Read(device, buffer)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil || n < 40 {
			return fmt.Errorf("read %d bytes: %w", n, err)
		}
		var body []byte
		fail := unix.Errno(0)
		switch binary.NativeEndian.Uint32(buffer[4:]) {
		case begin:
			body = make([]byte, 64)
			binary.NativeEndian.PutUint32(body, 7)
			binary.NativeEndian.PutUint32(body[4:], 31)
			binary.NativeEndian.PutUint32(body[20:], 4096)
		case lookup: // valid for no time: asked again at every walk
			body = append(make([]byte, 40), attributes...)
			binary.NativeEndian.PutUint64(body, 2)
		case getattr:
			body = append(make([]byte, 16), attributes...)
		default:
			fail = unix.ENOSYS
		}
		reply := make([]byte, 16, 16+len(body))
		binary.NativeEndian.PutUint32(reply, uint32(16+len(body)))
		binary.NativeEndian.PutUint32(reply[4:], uint32(-int32(fail)))
		copy(reply[8:], buffer[8:16])
		if _, err := unix.Write(device, append(reply, body...)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("answer: %w", err)
		}
	}
}
