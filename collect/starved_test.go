package collect

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// A child that gets no processor for longer than any read may take, while its read
// waits, tells what it reads all the same: starved is not blocked.
func TestStarvedChild(t *testing.T) {
	want := map[int]string{6: "late\x00", 7: "runc\x00"}
	var got map[int]result
	for range 5 { // this process may be starved, too, and stop the child too late
		got = starved(t)
		if string(got[6].line) == want[6] && string(got[7].line) == want[7] {
			return
		}
	}
	t.Errorf("%+v, want %v", got, want)
}

// starved is what a child tells of process 6, at whose command line it was stopped, and of 7.
func starved(t *testing.T) map[int]result {
	t.Helper()
	proc := fakeProc(t, map[int]string{6: "", 7: "runc\x00"})
	cmd := exec.Command("/proc/self/exe", childCommand, "cmdline", proc, "6", "7")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var fifo *os.File
	hosttest.Until(t, time.Minute, "it opens the file", func() bool {
		f, err := os.OpenFile(proc+"/6/cmdline", os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if fifo = f; err != nil && !errors.Is(err, syscall.ENXIO) {
			t.Fatal(err)
		}
		return err == nil
	})
	stopped := cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(2 * commandStall)
	_, err := fifo.WriteString("late\x00")
	fifo.Close()
	if err != nil && !errors.Is(err, syscall.EPIPE) || stopped != nil && !errors.Is(stopped, os.ErrProcessDone) { // it was too quick
		t.Fatal(err, stopped)
	}
	cmd.Process.Signal(syscall.SIGCONT)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	got := map[int]result{}
	parseCommands(out.Bytes(), got)
	return got
}

// Whether unix_diag is in the kernel is told as it is, also by a child that begins late
// or whose disk is dead.
func TestBuiltIn(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join("lib/modules", unix.ByteSliceToString(u.Release[:]))
	const list = "kernel/net/unix/unix_diag.ko\n"
	for _, tt := range []struct {
		name, list string
		delay      time.Duration
		want       string
	}{
		{"built in", list, 0, ""},
		{"built in, and the host is busy", list, 2 * commandStall, ""},
		{"a module", "kernel/net/unix/unix.ko\n", 0, "unix_diag is not loaded, and to ask would load it"},
		{"no list", "", 0, "unix_diag is not loaded, and to ask would load it"},
		{"a dead disk", "fifo", 0, "whether unix_diag is in the kernel was not told in time, and to ask might load it"},
		{"late", list, 2 * startWithin, "whether unix_diag is in the kernel was not told in time, and to ask might load it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, proc := t.TempDir(), t.TempDir()
			file := filepath.Join(root, at, "modules.builtin")
			err := errors.Join(os.WriteFile(proc+"/modules", nil, 0o600), os.MkdirAll(filepath.Dir(file), 0o755))
			switch tt.list {
			case "":
			case "fifo":
				err = errors.Join(err, unix.Mkfifo(file, 0o600))
			default:
				err = errors.Join(err, os.WriteFile(file, []byte(tt.list), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			l := &looker{Options: Options{Root: root, Proc: proc, Child: func(ctx context.Context, args ...string) ([]byte, error) {
				select {
				case <-time.After(tt.delay):
				case <-ctx.Done():
				}
				return Self(ctx, args...)
			}}}
			if got := l.mayAsk(t.Context()); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
