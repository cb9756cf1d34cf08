package undo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// A child does what the functions do, and its errors keep their kind and text.
func TestApart(t *testing.T) {
	w := newWorld(t)
	ctx := within(t, time.Minute)
	m := w.find(w.mount("a\xff"), hasUnique())
	if err := Apart(ctx, w.fd, Order{MakePrivate: &m}, nil); err != nil {
		t.Fatal(err)
	}
	if err := Apart(ctx, w.fd, Order{Unmount: &m}, nil); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Order{{Unmount: &m}, {Unmount: &m, Detach: true}, {MakePrivate: &m}} {
		if err := Apart(ctx, w.fd, o, nil); !errors.Is(err, ErrGone) && !(errors.Is(err, ErrOther) && !m.Unique) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := Apart(ctx, w.fd, Order{}, nil); !errors.Is(err, ErrFailed) {
		t.Errorf("no order: %v", err)
	}
	d := w.directory(m.Point)
	stop := errors.New("no journal")
	if err := Apart(ctx, w.fd, Order{Remove: &d}, func(Saved) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	var journal Saved
	if err := Apart(ctx, w.fd, Order{Remove: &d}, func(s Saved) error { journal = s; return nil }); err != nil {
		t.Error(err)
	}
	if now := w.directory(m.Point); now.Inode == d.Inode || string(journal.Path) != d.Path || journal.Inode != d.Inode {
		t.Errorf("%+v, journal %+v", now, journal)
	}
	w.do(func() error { return os.Remove(m.Point) })
	if err := Apart(ctx, w.fd, Order{Restore: &journal}, nil); err != nil {
		t.Error(err)
	}
	now := w.save(m.Point)
	if now.Inode, now.Path, now.Temporary = journal.Inode, journal.Path, journal.Temporary; !reflect.DeepEqual(now, journal) {
		t.Errorf("from\n%+v\nto\n%+v", journal, now)
	}
	if err := Apart(within(t, 0), w.fd, Order{Unmount: &m}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
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
	on := w.find(dead, hasUnique())
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := Apart(within(t, 20*time.Second), w.fd, Order{Unmount: &beside}, nil); err != nil {
		t.Errorf("beside it: %v", err)
	}
	for _, detach := range []bool{false, true} {
		began := time.Now()
		err := Apart(within(t, 2*time.Second), w.fd, Order{Unmount: &below, Detach: detach}, nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
			t.Errorf("below it: %v after %v", err, time.Since(began))
		}
	}
	before := w.ids()
	if err := Apart(within(t, 20*time.Second), w.fd, Order{Unmount: &on, Detach: true}, nil); err != nil {
		t.Errorf("the mount of the server itself: %v", err)
	}
	if gone := w.lost(before); len(gone) != 2 {
		t.Errorf("gone: %d", gone)
	}
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
