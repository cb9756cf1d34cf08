package lab

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/fusectl"
)

// ends runs a program and says whether it ended by itself in time. It is
// killed else, and must be dead then.
func ends(t *testing.T, wait time.Duration, name string, args ...string) bool {
	t.Helper()
	path, err := exec.LookPath(name)
	hosttest.Needs(t, name, err == nil, "install procps")
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for end, late := time.Now().Add(wait), time.Now().Add(time.Minute); ; {
		select {
		case <-done:
			return true
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().Before(end) {
			continue
		}
		s, err := readStat(cmd.Process.Pid)
		if err == nil && s.State == 'D' {
			break
		}
		if time.Now().After(late) { // not merely slow, with much to read
			t.Errorf("%s %v has not ended, and is not blocked either: %+v, %v", name, args, s, err)
			break
		}
	}
	cmd.Process.Kill()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s %v did not die by SIGKILL", name, args)
	}
	return false
}

func TestStuckReaderForReal(t *testing.T) {
	o := options(t, stuckReader)
	st := mustUp(t, "stuck-reader", o)
	reader, server := pidOf(t, st, "reader"), pidOf(t, st, "server")

	for pid, want := range map[int]byte{reader: 'D', server: 'T'} {
		if s, err := readStat(pid); err != nil || s.State != want {
			t.Errorf("pid %d: %+v, %v, want state %c", pid, s, err, want)
		}
	}
	for _, file := range []string{"stat", "status", "comm", "cgroup", "mountinfo", "wchan"} {
		if !ends(t, 3*time.Second, "cat", procPath(reader, file)) {
			t.Errorf("%s hangs too", file)
		}
	}
	for _, file := range []string{"cmdline", "environ", "maps"} {
		if ends(t, 500*time.Millisecond, "cat", procPath(reader, file)) {
			t.Errorf("%s can be read", file)
		}
	}
	if !ends(t, 3*time.Second, "cat", procPath(st.PID, "cmdline")) {
		t.Error("the command line of the first process hangs: then the others prove nothing")
	}
	if ends(t, 3*time.Second, "ps", "-eo", "pid,args") {
		t.Error("ps does not hang")
	}
	if ends(t, 3*time.Second, "pgrep", "-f", "x") {
		t.Error("pgrep does not hang")
	}
}

// The namespace holds nothing of the host's: a lab that keeps a device busy is
// a fault that nobody ordered.
func TestStuckReaderHoldsNoMounts(t *testing.T) {
	o := options(t, stuckReader)
	st := mustUp(t, "stuck-reader", o)
	table, err := mountedBy(st.PID, st.PID)
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, m := range table {
		points = append(points, m.MountPoint+" "+m.Type)
		if m.Shared != 0 || m.Master != 0 {
			t.Errorf("%s is shared", m.MountPoint)
		}
	}
	if got, want := strings.Join(points, ", "), "/ tmpfs, /dev/fuse devtmpfs, /mnt fuse.sexton-lab"; got != want {
		t.Errorf("mounts: %s, want %s", got, want)
	}
	// A descriptor on a mount of the host's, or on a detached copy, would hold it all the same.
	for _, p := range st.Processes {
		fds, err := os.ReadDir(procPath(p.PID, "fd"))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			link, err := os.Readlink(procPath(p.PID, "fd/"+fd.Name()))
			if errors.Is(err, fs.ErrNotExist) {
				continue // closed meanwhile: it holds nothing
			}
			if err != nil {
				t.Fatal(err)
			}
			kind, _, inode := strings.Cut(link, ":[")
			if anonymous := inode && (kind == "pipe" || kind == "anon_inode"); !anonymous && !strings.HasPrefix(link, "anon_inode:") &&
				link != "/dev/null" && link != "/dev/fuse" && link != "/mnt/held" {
				t.Errorf("%v: descriptor %s is %s", p, fd.Name(), link)
			}
		}
	}
}

// Each way out of the fault that a healer has leaves the reader alive.
func TestStuckReaderHealed(t *testing.T) {
	t.Run("the server goes on", func(t *testing.T) {
		o := options(t, stuckReader)
		st := mustUp(t, "stuck-reader", o)
		if err := syscall.Kill(pidOf(t, st, "server"), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		hosttest.Until(t, 20*time.Second, "the fault is healed", func() bool { return one(t, "stuck-reader", o).State == StateHealed })
		st = one(t, "stuck-reader", o)
		if len(st.Processes) != 3 || st.Why != "" {
			t.Errorf("list says %+v", st)
		}
		if !ends(t, 3*time.Second, "cat", procPath(pidOf(t, st, "reader"), "cmdline")) {
			t.Error("its command line cannot be read")
		}
	})
	t.Run("its connection is aborted", func(t *testing.T) {
		o := options(t, stuckReader)
		st := mustUp(t, "stuck-reader", o)
		reader := pidOf(t, st, "reader")
		table, err := mountedBy(reader, reader)
		if err != nil {
			t.Fatal(err)
		}
		last := table[len(table)-1]
		if last.MountPoint != fuseDir {
			t.Fatalf("the last mount is %+v", last)
		}
		c, err := fusectl.Open(t.Context(), int(last.Minor))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n, err := c.Waiting(); err != nil || n == 0 {
			t.Errorf("%d requests wait, %v", n, err)
		}
		if err := c.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		hosttest.Until(t, 20*time.Second, "the reader is out of D", func() bool {
			s, err := readStat(reader)
			return err == nil && s.State == 'S'
		})
		if s, err := readStat(pidOf(t, st, "server")); err != nil || s.State != 'T' {
			t.Errorf("the server is %+v, %v: nobody resumed it", s, err)
		}
		if !ends(t, 3*time.Second, "cat", procPath(reader, "cmdline")) {
			t.Error("its command line cannot be read")
		}
	})
	t.Run("the server dies", func(t *testing.T) {
		o := options(t, stuckReader)
		st := mustUp(t, "stuck-reader", o)
		if err := syscall.Kill(pidOf(t, st, "server"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		hosttest.Until(t, 20*time.Second, "the fault is healed", func() bool {
			st = one(t, "stuck-reader", o)
			return st.State == StateHealed && len(st.Processes) == 2
		})
		if !strings.HasPrefix(st.Why, "not there any more: server (pid ") {
			t.Errorf("list says %+v", st)
		}
	})
}

// A reader that can be read is no proof.
func TestProvesBlocked(t *testing.T) {
	hosttest.NeedsRoot(t)
	err := provesBlocked(t.Context(), os.Getpid())
	if err == nil || !strings.Contains(err.Error(), "can be read") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t)
}

func TestPanicRisk(t *testing.T) {
	for _, tt := range []struct {
		name            string
		panics, timeout int
		duration        time.Duration
		wantHint        string
	}{
		{name: "no panic", panics: 0, timeout: 120, duration: time.Hour},
		{name: "no detector", panics: 1, timeout: 0, duration: time.Hour},
		{name: "short enough", panics: 1, timeout: 120, duration: time.Minute},
		{name: "too long", panics: 1, timeout: 120, duration: 10 * time.Minute, wantHint: "--for 1m0s"},
		{name: "several tasks", panics: 5, timeout: 30, duration: 16 * time.Second, wantHint: "--for 15s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := panicRisk(tt.panics, tt.timeout, tt.duration)
			if (err != nil) != (tt.wantHint != "") || hintOf(errors.Join(err)) != tt.wantHint {
				t.Errorf("got %v (try: %s)", err, hintOf(err))
			}
		})
	}
}
