package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/collect/door"
	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/bpfiter/bpfitertest"
	"sexton.dev/snapshot"
)

// The test binary is the child too, as sexton is.
func TestMain(m *testing.M) {
	if IsChild(os.Args[1:]) {
		os.Exit(ChildMain(os.Args[1:], os.Stdout, os.Stderr))
	}
	bpfitertest.Main(m)
}

// fakeProc makes a /proc with command lines; an empty text is a FIFO that
// nobody writes, whose open blocks as the read of a held mmap_lock does.
func fakeProc(t *testing.T, lines map[int]string) string {
	t.Helper()
	dir := t.TempDir()
	for pid, line := range lines {
		sub := filepath.Join(dir, fmt.Sprint(pid))
		err := os.Mkdir(sub, 0o755)
		if err == nil && line == "" {
			err = syscall.Mkfifo(filepath.Join(sub, "cmdline"), 0o600)
		} else if err == nil {
			err = os.WriteFile(filepath.Join(sub, "cmdline"), []byte(line), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A read that blocks costs its own process its answer, and no other's.
func TestReadBatchBlocked(t *testing.T) {
	proc := fakeProc(t, map[int]string{5: "dockerd\x00-H\x00", 6: "", 7: "runc\x00\xff\x00", 9: ""})
	began := time.Now()
	got := readBatch(t.Context(), Self, proc, []int{5, 6, 7, 8, 9})
	if took := time.Since(began); took > commandsLimit+time.Second {
		t.Errorf("took %v", took)
	}
	if string(got[5].line) != "dockerd\x00-H\x00" || string(got[7].line) != "runc\x00\xff\x00" {
		t.Errorf("lines %q and %q", got[5].line, got[7].line)
	}
	for _, pid := range []int{6, 9} {
		if !errors.Is(got[pid].err, door.ErrDeadline) {
			t.Errorf("pid %d: error %v, want %v", pid, got[pid].err, door.ErrDeadline)
		}
	}
	if !door.Gone(got[8].err) {
		t.Errorf("pid 8: %v, want that it is gone", got[8].err)
	}
	hosttest.Until(t, 5*time.Second, "no child is left", func() bool { return len(children(t)) == 0 })
}

// children lists the living children of the test's own process.
func children(t *testing.T) []string {
	t.Helper()
	var out []string
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		out = append(out, strings.Fields(string(text))...)
	}
	return out
}

// Where no process can be started, command lines are unknown and the look goes on.
func TestNoChild(t *testing.T) {
	f := newHost()
	f.process(7, 1, "D", "sh", map[string]any{"task/7/status": "Pid:\t7\n", "wchan": "x"})
	o := all()
	o.Child = func(context.Context, ...string) ([]byte, error) { return nil, syscall.EAGAIN }
	f["ask/sockets"] = `[]`
	_, h := Looks(t.Context(), f, nil, o)
	if len(h.Unread) != 1 || h.Unread[0].Part != snapshot.Threads || !strings.Contains(h.Unread[0].Err, "temporarily unavailable") {
		t.Errorf("unread %+v", h.Unread)
	}
	if p := h.Process(7); p.Blocked || len(p.Tasks) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestSelfBounds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	proc := fakeProc(t, map[int]string{6: ""})
	if _, err := Self(ctx, "cmdline", proc, "6"); !errors.Is(err, door.ErrDeadline) {
		t.Errorf("error %v, want %v", err, door.ErrDeadline)
	}
	if _, err := Self(t.Context(), "no-such"); err == nil || !strings.Contains(err.Error(), "unknown child command") {
		t.Errorf("error %v, want that of the child", err)
	}
}

func TestSilentSockets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "silent")
	sock := filepath.Join(t.TempDir(), "docker.sock")
	if err := os.WriteFile(sock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := socket(sock)
	q := &silentSockets{file: file, identity: identity("10.77")}
	if q.has(s) {
		t.Error("silent before anything was asked")
	}
	q.add(s)
	if !q.has(s) {
		t.Error("not remembered")
	}
	if restarted := (&silentSockets{file: file, identity: identity("11.99")}); restarted.has(s) {
		t.Error("remembered although the daemon is another process now")
	}
	if err := os.WriteFile(file, []byte(`{"cut`), 0o600); err != nil {
		t.Fatal(err)
	}
	if q.has(s) {
		t.Error("a cut file says that it was silent")
	}
}
