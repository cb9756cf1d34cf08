// Package runtimestest makes unix sockets that behave as healthy, sick and
// hostile runtimes do, for the tests of the packages that ask them.
package runtimestest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes"
)

// patience is how long what a test made may take to vanish.
const patience = 10 * time.Second

// NoLeaks fails the test if goroutines or file descriptors are left once all
// that was made after this call is cleaned up. It must be the first call of a
// test that does not run in parallel.
func NoLeaks(t *testing.T) {
	t.Helper()
	goroutines, fds := runtime.NumGoroutine(), openFDs(t)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		defer func() {
			if t.Failed() {
				text := make([]byte, 1<<20)
				t.Logf("goroutines:\n%s", text[:runtime.Stack(text, true)])
			}
		}()
		hosttest.Until(t, patience, "no goroutine and no file descriptor is left", func() bool {
			return runtime.NumGoroutine() <= goroutines && openFDs(t) <= fds
		})
	})
}

func openFDs(t *testing.T) int {
	t.Helper()
	found, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// Path returns a path for a socket that is short enough for one.
func Path(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sexton")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// Listen listens on a new socket until the test ends.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", Path(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Serve calls handle with each connection to a new socket, whose path it
// returns. At the end of the test it closes all connections and waits for handle.
func Serve(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l := Listen(t)
	var mu sync.Mutex
	var open []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Go(func() { defer c.Close(); handle(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// Swallow reads until the other side is gone, and says nothing.
func Swallow(c net.Conn) { io.Copy(io.Discard, c) }

// Flood writes text again and again until the other side is gone.
func Flood(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// HTTP serves a handler on a new socket, whose path it returns.
func HTTP(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = Listen(t)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

// GRPC serves what register registers on a new socket, whose path it returns.
func GRPC(t testing.TB, register func(*grpc.Server)) string {
	t.Helper()
	l := Listen(t)
	s := grpc.NewServer(grpc.MaxSendMsgSize(1 << 30))
	register(s)
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Stop(); serving.Wait() })
	return l.Addr().String()
}

// CheckError fails the test unless the error has the part in its text and wraps
// just the one of the package's sentinels that is given, or none for nil. No
// part wants no error.
func CheckError(t *testing.T, err error, part string, is error) {
	t.Helper()
	if part == "" {
		if err != nil {
			t.Errorf("error: %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
	for _, s := range []error{runtimes.ErrSilent, runtimes.ErrPartial, runtimes.ErrOtherAPI, runtimes.ErrGone, runtimes.ErrRefused} {
		if errors.Is(err, s) != (s == is) {
			t.Errorf("error %q: is %q: %v", err, s, s != is)
		}
	}
}

// CheckSaid fails the test unless each question has its end, and the last one alone
// is a silent one just where the error is that.
func CheckSaid(t *testing.T, said []runtimes.Said, err error) {
	t.Helper()
	for i, s := range said {
		last := i == len(said)-1
		if s.Question == "" || s.Took < 0 || s.Silent && !last || last && errors.Is(err, runtimes.ErrSilent) != s.Silent && !errors.Is(err, runtimes.ErrPartial) {
			t.Errorf("question %d of %+v, error %v", i, said, err)
		}
	}
}
