package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// readLive reads a file of /proc. ok is false if the process ended, or is not ours to read.
func readLive(t *testing.T, path string) (text []byte, ok bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, fs.ErrPermission) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return text, true
}

// Every process and thread of this machine parses. Nothing is read that waits for another process.
func TestLive(t *testing.T) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range append(stats, threads...) {
		if text, ok := readLive(t, file); ok {
			read++
			s, err := ParseStat(text)
			if err != nil || strconv.Itoa(s.PID) != filepath.Base(filepath.Dir(file)) {
				t.Errorf("%s: %v: %+v", file, err, s)
			}
		}
		dir := filepath.Dir(file)
		if text, ok := readLive(t, filepath.Join(dir, "status")); ok {
			if s, err := ParseStatus(text); err != nil || len(s.NSpid) > 0 && strconv.Itoa(s.NSpid[0]) != filepath.Base(dir) {
				t.Errorf("%s/status: %v: %+v", dir, err, s)
			}
		}
		if text, ok := readLive(t, filepath.Join(dir, "syscall")); ok {
			if _, _, err := ParseSyscall(text); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
		if text, ok := readLive(t, filepath.Join(dir, "children")); ok {
			if _, err := ParseChildren(text); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
		for _, name := range []string{"mnt", "pid", "pid_for_children", "cgroup"} {
			link, err := os.Readlink(filepath.Join(dir, "ns", name))
			if err != nil {
				continue // it ended, is not ours to read, or the kernel has no such namespace
			}
			if kind, inode, err := ParseNamespace(link); err != nil || inode == 0 || !strings.HasPrefix(name, kind) {
				t.Errorf("%s/ns/%s: %v: %q %d", dir, name, err, kind, inode)
			}
		}
	}
	if read < 2 {
		t.Errorf("only %d processes and threads could be read", read)
	}
}

func TestLiveHost(t *testing.T) {
	if text, ok := readLive(t, "/proc/loadavg"); ok {
		if n, err := ParseLoadavg(text); err != nil || n < 1 {
			t.Errorf("loadavg: %d, %v", n, err)
		}
	}
	if text, ok := readLive(t, "/proc/uptime"); ok {
		if s, err := ParseUptime(text); err != nil || s <= 0 {
			t.Errorf("uptime: %v, %v", s, err)
		}
	}
	for _, file := range []string{"pid_max", "threads-max"} {
		if text, ok := readLive(t, "/proc/sys/kernel/"+file); ok {
			if n, err := ParseNumber(text); err != nil || n < 1 {
				t.Errorf("%s: %d, %v", file, n, err)
			}
		}
	}
	text, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if argv := ParseArgv(text); len(argv) == 0 || argv[0] != os.Args[0] {
		t.Errorf("argv %q, want %q", argv, os.Args)
	}
	f, err := os.Open("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if info := ParseFDInfo(text); info["pos"] != "0" || info["mnt_id"] == "" {
		t.Errorf("fdinfo %q gave %q", text, info)
	}
}

// The kernel itself is asked what it makes of names that forge lines: comm has them raw in stat, escaped in status.
func TestLiveHostileName(t *testing.T) {
	for _, comm := range []string{"x) R 2 (", "x) S 1 1 1\n8 (", "\nPid:\t1\nUid:\t0", "\\nPid:\t1", "\xff\x1b[2J \t\r", ")", "(", " ", ":"} {
		t.Run(fmt.Sprintf("%q", comm), func(t *testing.T) {
			runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, its name too
			if err := os.WriteFile("/proc/thread-self/comm", []byte(comm), 0); err != nil {
				t.Fatal(err)
			}
			want := comm[:min(len(comm), 15)]
			text, err := os.ReadFile("/proc/thread-self/stat")
			if err != nil {
				t.Fatal(err)
			}
			if s, err := ParseStat(text); err != nil || s.Comm != want || s.PID != syscall.Gettid() || s.PPID != os.Getppid() || s.State != 'R' {
				t.Errorf("%v: %q gave %+v", err, text, s)
			}
			text, err = os.ReadFile("/proc/thread-self/status")
			if err != nil {
				t.Fatal(err)
			}
			if s, err := ParseStatus(text); err != nil || s.UID != os.Getuid() || len(s.NSpid) == 0 || s.NSpid[0] != syscall.Gettid() {
				t.Errorf("%v: %q gave %+v", err, text, s)
			}
		})
	}
}

// A dead child keeps its numbers, its wait status and its signal sets until it is reaped.
func TestLiveZombie(t *testing.T) {
	child, err := os.StartProcess("/proc/self/exe", []string{"procfs.test", "-test.run=^$", "-test.nosuchflag"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Kill()
	var s Stat
	hosttest.Until(t, 20*time.Second, "the child is a zombie", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if s, err = ParseStat(text); err != nil {
			t.Fatal(err)
		}
		return s.State == 'Z' && s.Threads == 1 // its other threads may still be on their way out
	})
	const exit2 = 2 << 8 // an unknown flag ends a test with 2
	if s.PID != child.Pid || s.PPID != os.Getpid() || s.Threads != 1 || s.Start == 0 || s.ExitCode != exit2 || s.Flags&FlagExiting == 0 {
		t.Errorf("stat of the zombie: %+v", s)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ParseStatus(text); err != nil || s.UID != os.Getuid() {
		t.Errorf("status of the zombie: %v: %+v", err, s)
	}
	text, err = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child.Pid))
	if argv := ParseArgv(text); err != nil || argv != nil {
		t.Errorf("cmdline of the zombie: %v: %q", err, argv)
	}
}
