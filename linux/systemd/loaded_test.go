package systemd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A systemd that says nothing, or nonsense, costs the time that was given and no
// more. The real one is asked in internal/e2e.
func TestLoadedFromHostile(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle func(net.Conn)
		silent bool
	}{
		{"says nothing", func(c net.Conn) { io.Copy(io.Discard, c) }, true},
		{"hangs up", func(c net.Conn) {}, false},
		{"nonsense", func(c net.Conn) { c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) }, false},
		{"silent once it is known who asks", func(c net.Conn) {
			talk(c, "REJECTED EXTERNAL\r\n", "OK 0123456789abcdef0123456789abcdef\r\n")
			io.Copy(io.Discard, c)
		}, true},
		{"floods", func(c net.Conn) {
			talk(c, "REJECTED EXTERNAL\r\n", "OK 0123456789abcdef0123456789abcdef\r\n")
			io.Copy(c, zeros{})
		}, false},
		{"an endless line", func(c net.Conn) { io.Copy(c, zeros{}) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := serve(t, tt.handle)
			const within = 300 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			done := make(chan error, 2)
			go func() {
				_, err := Loaded(ctx, root, []string{"a.service"})
				done <- err
			}()
			go func() {
				_, err := Restart(ctx, root, "a.service", Run{MainPID: 7})
				done <- err
			}()
			for range 2 {
				select {
				case err := <-done:
					if err == nil || errors.Is(err, ErrNotRunning) || errors.Is(err, ErrFailed) || tt.silent && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("error %v", err)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("it does not end with its time")
				}
			}
		})
	}
}

// talk answers each line that comes with the next of these.
func talk(c net.Conn, answers ...string) {
	buf := make([]byte, 1)
	for _, a := range answers {
		for buf[0] = 0; buf[0] != '\n'; {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
		io.Copy(c, bytes.NewReader([]byte(a)))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// serve listens where systemd does below a root, until the test ends.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	root, err := os.MkdirTemp("", "s") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.MkdirAll(root+filepath.Dir(Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", root+Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); handle(c) }()
		}
	}()
	return root
}

// No socket, or one that nobody listens on: no systemd, which is no lack.
func TestLoadedWithoutSystemd(t *testing.T) {
	dead := serve(t, func(net.Conn) {})
	l, err := net.Listen("unix", dead+Socket+"2")
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if err := os.Rename(dead+Socket+"2", dead+Socket); err != nil {
		t.Fatal(err)
	}
	outside, alive := t.TempDir(), serve(t, func(net.Conn) {}) // to reach it would be another error
	if err := errors.Join(os.Mkdir(outside+"/run", 0o755), os.Symlink(filepath.Dir(alive+Socket), outside+"/run/systemd")); err != nil {
		t.Fatal(err)
	}
	for name, root := range map[string]string{"no socket": t.TempDir(), "nobody listens": dead, "a link that leads out of the root": outside} {
		if _, err := Loaded(t.Context(), root, []string{"a.service"}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
