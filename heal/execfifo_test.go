package heal

import (
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
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/procfs"
	"sexton.dev/plan"
)

// A fifoScene is a container's directory, and a process that waits there for reading.
type fifoScene struct {
	dir    string
	target check.Target
	reader *exec.Cmd
	ended  chan error
}

func newFifoScene(t *testing.T, init procfs.Stat) *fifoScene {
	t.Helper()
	hosttest.NeedsRoot(t)
	s := &fifoScene{dir: t.TempDir(), ended: make(chan error, 1)}
	file := filepath.Join(s.dir, "exec.fifo")
	if err := unix.Mkfifo(file, 0o622); err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf(`{"init_process_pid":%d,"init_process_start":%d}`, init.PID, init.Start)
	if err := os.WriteFile(filepath.Join(s.dir, "state.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reader = exec.Command("sh", "-c", "exec 3<"+file)
	if err := s.reader.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.reader.Wait() }()
	t.Cleanup(func() { s.reader.Process.Kill() })
	pid := s.reader.Process.Pid
	hosttest.Until(t, 10*time.Second, "it waits", func() bool {
		wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
		return string(wchan) == "wait_for_partner"
	})
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	s.target = check.Target{Kind: "fifo", PID: pid, Start: statOf(t, pid).Start, Comm: "sh", Switches: switchesOf(t, pid),
		Path: file, Device: mounts.DeviceOf(st.Dev).String(), Inode: st.Ino}
	return s
}

// sleeper starts a process with a name of its own.
func sleeper(t *testing.T, name string) procfs.Stat {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	real, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, file); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(file, "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return statOf(t, c.Process.Pid)
}

// Only a reader whose init will never come is let go, and it is told the end of file.
func TestUnblock(t *testing.T) {
	dead := procfs.Stat{PID: 1 << 21, Start: 5}
	for _, tt := range []struct {
		name   string
		init   func(t *testing.T) procfs.Stat
		change func(t *testing.T, s *fifoScene)
		want   string // "": released; else part of why not
		needed bool
	}{
		{name: "init has ended", needed: true},
		{name: "its number is another's", init: func(t *testing.T) procfs.Stat { s := sleeper(t, "runc:[2:INIT]"); s.Start++; return s }, needed: true},
		{name: "no init", init: func(t *testing.T) procfs.Stat { return sleeper(t, "app") }, needed: true},
		{name: "init lives", init: func(t *testing.T) procfs.Stat { return sleeper(t, "runc:[2:INIT]") }, want: "it may come yet", needed: true},
		{name: "no state", change: func(t *testing.T, s *fifoScene) { os.Remove(filepath.Join(s.dir, "state.json")) }, want: "cannot be told", needed: true},
		{name: "another fifo", change: func(t *testing.T, s *fifoScene) { s.target.Inode++ }, want: "another fifo by now", needed: true},
		{name: "on another device", change: func(t *testing.T, s *fifoScene) { s.target.Device = "0:1" }, want: "another fifo by now", needed: true},
		{name: "it has run", change: func(t *testing.T, s *fifoScene) { s.target.Switches-- }, want: "it has run since", needed: true},
		{name: "as a writer", change: func(t *testing.T, s *fifoScene) { s.target.Kind = "init" }, want: "it has run since", needed: true},
		{name: "directory gone", change: func(t *testing.T, s *fifoScene) { os.RemoveAll(s.dir) }, want: "no path leads to the fifo", needed: true},
		{name: "another process", change: func(t *testing.T, s *fifoScene) { s.target.Start++ }, want: "has ended"},
		{name: "no kind", change: func(t *testing.T, s *fifoScene) { s.target.Kind = "cgroup" }, want: "neither", needed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			init := dead
			if tt.init != nil {
				init = tt.init(t)
			}
			s := newFifoScene(t, init)
			if tt.change != nil {
				tt.change(t, s)
			}
			var noted []any
			err := unblock(t.Context(), plan.Step{Target: s.target}, func(v any) error { noted = append(noted, v); return nil })
			if tt.want == "" {
				if err != nil || len(noted) != 1 {
					t.Fatalf("%v, noted %v", err, noted)
				}
				select {
				case err := <-s.ended:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(10 * time.Second):
					t.Error("it still waits")
				}
				return
			}
			var no refusal
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &no) != tt.needed || errors.Is(err, errNotNeeded) == tt.needed || len(noted) > 0 {
				t.Errorf("%v, noted %v; want %q", err, noted, tt.want)
			}
			select {
			case <-s.ended:
				t.Error("it was let go")
			default:
			}
		})
	}
}

// What cannot be written down is not done.
func TestUnblockUnwritten(t *testing.T) {
	s := newFifoScene(t, procfs.Stat{PID: 1 << 21, Start: 5})
	full := errors.New("disk full")
	if err := unblock(t.Context(), plan.Step{Target: s.target}, func(any) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	select {
	case <-s.ended:
		t.Error("it was let go")
	default:
	}
}
