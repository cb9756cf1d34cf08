package kmsg

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// eaterVariable tells the test binary to be the process that uses up its memory.
const eaterVariable = "SEXTON_TEST_EATS_MEMORY"

// hostileComm has a newline in it and looks like the kernel's message.
const hostileComm = "1) \nKilled pro("

func TestMain(m *testing.M) {
	if os.Getenv(eaterVariable) != "" {
		eat()
		return
	}
	os.Exit(m.Run())
}

// eat takes a name, waits to be put into the cgroup, and uses 64 MiB.
func eat() {
	if err := os.WriteFile("/proc/thread-self/comm", []byte(hostileComm), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.WriteString("ready\n")
	io.ReadFull(os.Stdin, make([]byte, 1))
	var kept [][]byte
	for range 64 {
		page := make([]byte, 1<<20)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		kept = append(kept, page)
	}
	runtime.KeepAlive(kept)
}

// memoryCgroup makes a memory cgroup of 16 MiB without swap, of either version, and removes it.
func memoryCgroup(t *testing.T, id string) string {
	root, limit, swap := "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(root, limit)); err != nil {
		root, limit, swap = "/sys/fs/cgroup", "memory.max", "memory.swap.max"
	}
	parent := filepath.Join(root, fmt.Sprintf("sexton-kmsg-test-%d", os.Getpid()))
	dir := filepath.Join(parent, id)
	hosttest.Needs(t, "memcg", os.Mkdir(parent, 0o755) == nil, "mount a memory cgroup that root may write to")
	t.Cleanup(func() { removeCgroup(t, parent) })
	if strings.HasSuffix(limit, ".max") {
		os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(t, dir) })
	err := os.WriteFile(filepath.Join(dir, limit), []byte("16777216"), 0)
	hosttest.Needs(t, "memcg", err == nil, "delegate the memory controller to the root cgroup's children")
	if err := os.WriteFile(filepath.Join(dir, swap), []byte(map[bool]string{true: "0", false: "16777216"}[swap == "memory.swap.max"]), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Logf("swap is not limited: %v", err)
	}
	return dir
}

func removeCgroup(t *testing.T, dir string) {
	hosttest.Until(t, 10*time.Second, "remove "+dir, func() bool {
		err := os.Remove(dir)
		return err == nil || errors.Is(err, os.ErrNotExist)
	})
}

// A process with a hostile name is killed in a memory cgroup, and the kernel log
// says who it was and in which container.
func TestRealOOM(t *testing.T) {
	hosttest.NeedsRoot(t)
	following, err := Open(Device, true)
	hosttest.Needs(t, "kmsg", err == nil, "give the container /dev/kmsg and CAP_SYSLOG")
	defer following.Close()
	random := make([]byte, 32)
	rand.Read(random)
	id := hex.EncodeToString(random)
	dir := memoryCgroup(t, id)

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), eaterVariable+"=1", "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }).Stop()
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Appendf(nil, "%d", cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	in.Write([]byte{1})
	if err := cmd.Wait(); cmd.ProcessState.String() != "signal: killed" {
		t.Fatalf("the child ended with %v, %v", cmd.ProcessState, err)
	}

	past, err := Open(Device, false)
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	e, followed := eventOf(t, past, id), eventOf(t, following, id)
	followed.order = e.order // it began later
	if !reflect.DeepEqual(e, followed) {
		t.Errorf("%+v to its end, %+v when it is followed", e, followed)
	}
	if e.Family != OOM || e.Process != hostileComm || e.Global || e.Limit != 16<<20 || !strings.HasSuffix(e.Cgroup, "/"+id) || e.Seq < 0 || e.Boot <= 0 {
		t.Errorf("%+v", e)
	}
	if hosttest.FirstPIDs(t) && e.PID != cmd.Process.Pid { // the kernel prints pids of the first namespace
		t.Errorf("pid %d, want %d", e.PID, cmd.Process.Pid)
	}
}

// eventOf reads to the log's end, or to its first pause, and gives the one event of a container.
func eventOf(t *testing.T, log *Log, id string) Event {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var a Assembler
	var got []Event
	keep := func(events []Event) {
		for _, e := range events {
			if e.Container == id {
				got = append(got, e)
			}
		}
	}
	for {
		r, err := log.Next(ctx)
		if err == io.EOF || errors.Is(err, ErrQuiet) {
			break
		}
		if _, lost := errors.AsType[Lost](err); err != nil && !lost {
			t.Fatal(err)
		}
		keep(a.Add(r))
	}
	keep(a.Flush())
	if len(got) != 1 {
		t.Fatalf("%d events of the container: %+v", len(got), got)
	}
	return got[0]
}

// What a process writes to /dev/kmsg is no message of the kernel's, whatever
// facility it asks for. One line is written; it is marked and tells of nothing.
func TestWritten(t *testing.T) {
	hosttest.NeedsRoot(t)
	log, err := Open(Device, false)
	hosttest.Needs(t, "kmsg", err == nil, "give the container /dev/kmsg and CAP_SYSLOG")
	defer log.Close()
	text := fmt.Sprintf("sexton test %d: a harmless line", os.Getpid())
	err = os.WriteFile(Device, []byte("<7>"+text+"\n"), 0)
	hosttest.Needs(t, "kmsg", err == nil, "let root write to /dev/kmsg")
	for {
		r, err := log.Next(t.Context())
		if _, lost := errors.AsType[Lost](err); err != nil && !lost {
			t.Fatalf("the line is not in the log: %v", err)
		}
		if r.Text == text {
			if r.Kernel {
				t.Errorf("%+v", r)
			}
			return
		}
	}
}

// Following waits at the end, says so, and ends when it is told to.
func TestFollow(t *testing.T) {
	hosttest.NeedsRoot(t)
	log, err := Open(Device, true)
	hosttest.Needs(t, "kmsg", err == nil, "give the container /dev/kmsg and CAP_SYSLOG")
	defer log.Close()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	n, quiet := 0, false
	for !quiet {
		_, err := log.Next(ctx)
		if quiet = errors.Is(err, ErrQuiet); err != nil && !quiet {
			if _, lost := errors.AsType[Lost](err); !lost {
				t.Fatal(err)
			}
		}
		n++
	}
	if n < 2 {
		t.Errorf("%d records", n)
	}
	stop()
	if _, err := log.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
