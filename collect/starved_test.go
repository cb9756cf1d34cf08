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
	for range 50 {
		got, ok := starved(t)
		if !ok {
			continue
		}
		for pid, want := range map[int]string{6: "late\x00", 7: "runc\x00"} {
			if r := got[pid]; r.err != nil || string(r.line) != want {
				t.Errorf("%d: %q, %v", pid, r.line, r.err)
			}
		}
		return
	}
	t.Fatal("this machine is never quick enough")
}

// starved is what a child tells of process 6, in whose command line it waited, was
// stopped, ran on and read, and of 7. It is not ok if this process was starved itself, so
// that the child waited for longer while it ran.
func starved(t *testing.T) (got map[int]result, ok bool) {
	t.Helper()
	const most = commandStall / 5 // that the child may wait before it is stopped, and after
	proc := fakeProc(t, map[int]string{6: "", 7: "runc\x00"})
	cmd := exec.Command("/proc/self/exe", childCommand, "cmdline", proc, "6", "7")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var fifo *os.File
	began := time.Now()
	hosttest.Until(t, time.Minute, "it opens the file", func() bool {
		now := time.Now()
		f, err := os.OpenFile(proc+"/6/cmdline", os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) { // nobody reads yet
			began = now
			return false
		}
		if fifo = f; err != nil {
			t.Fatal(err)
		}
		return true
	})
	defer fifo.Close()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil || time.Since(began) > most {
		return nil, false
	}
	time.Sleep(2 * commandStall)
	began = time.Now()
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(most / 3)
	_, err := fifo.WriteString("late\x00")
	fifo.Close()
	if time.Since(began) > most {
		return nil, false
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Log(err, out.String()) // as where it did not wait for what was written
	}
	got = map[int]result{}
	parseCommands(out.Bytes(), got)
	return got, true
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
