// Package bpfitertest starts processes that each keep something of a file system of their own in
// another way, for those who must find them.
package bpfitertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// What a process keeps of its file system, or has besides.
const (
	File           = "file"
	LastFile       = "last-file" // the last descriptor that its table has room for
	Cwd            = "cwd"
	Root           = "root"
	Program        = "program"
	Mapping        = "mapping"          // its descriptor closed
	LateProgram    = "late-program"     // a program, and its first thread has ended
	ThreadFile     = "thread-file"      // in the table of one thread
	ThreadCwd      = "thread-cwd"       // of one thread
	Leaderless     = "leaderless"       // a file, and its first thread has ended
	Ring           = "ring"             // an io_uring with a registered file, its descriptor closed
	Detached       = "detached"         // a file on a mount that is in no namespace any more
	DetachedMap    = "detached-map"     // a mapping of such a one
	Tree           = "tree"             // the descriptor of a copy of a mount
	OverlayFile    = "overlay-file"     // of an overlay with layers on two file systems
	OverlayMap     = "overlay-map"      // a mapped file of an overlay: the kernel maps the layer's
	OverlayGone    = "overlay-gone"     // a file on a detached overlay
	OverlayGoneMap = "overlay-gone-map" // a mapping of such a one
	Wide           = "wide"             // nothing of it, but a table for 1,024 descriptors
	None           = "none"             // nothing of it, but what is of no mount
)

// Kinds are all of them.
var Kinds = []string{File, LastFile, Cwd, Root, Program, LateProgram, Mapping, ThreadFile, ThreadCwd, Leaderless, Ring, Detached, DetachedMap, Tree,
	OverlayFile, OverlayMap, OverlayGone, OverlayGoneMap, Wide, None}

// A Process is one that was started.
type Process struct {
	Kind         string
	PID          int    // as the test has it
	TID          int    // of a thread that has what its process has not, as itself has it
	Major, Minor uint32 // of the file system
	Mount        uint64 // the unique id of the mount, 0 of a copy
	Layer        string // of an overlay, in the process's mount namespace
}

// What a process is told by its environment.
const (
	kindVar  = "SEXTON_KEEPER"
	stageVar = "SEXTON_KEEPER_STAGE"
	crowdVar = "SEXTON_KEEPER_CROWD"

	crowd = "crowd"
)

// Main runs the tests, or is one of the processes. A test package that starts some calls
// it from TestMain.
func Main(m *testing.M) {
	if kind := os.Getenv(kindVar); kind != "" {
		runtime.LockOSThread()
		err := keep(kind, os.Args[1])
		fmt.Fprintln(os.Stderr, kind+":", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Start starts processes, each in a mount namespace of its own, until the test ends.
// It is for root.
func Start(t testing.TB, kinds ...string) []Process {
	t.Helper()
	hosttest.NeedsRoot(t)
	var all []Process
	for _, kind := range kinds {
		all = append(all, start(t, kind))
	}
	return all
}

func start(t testing.TB, kind string) Process {
	cmd := exec.Command("/proc/self/exe", t.TempDir())
	cmd.Env = append(os.Environ(), kindVar+"="+kind)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its sign to end
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Start()
	hosttest.Needs(t, "mount-namespace", err == nil, fmt.Sprintf("the right to clone(CLONE_NEWNS): %v", err))
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	var p Process
	if err := json.NewDecoder(stdout).Decode(&p); err != nil {
		t.Fatalf("%s said nothing: %v", kind, err)
	}
	p.Kind, p.PID = kind, cmd.Process.Pid
	return p
}

// Of returns the process of a kind.
func Of(t testing.TB, all []Process, kind string) Process {
	t.Helper()
	i := slices.IndexFunc(all, func(p Process) bool { return p.Kind == kind })
	if i < 0 {
		t.Fatalf("no process %s", kind)
	}
	return all[i]
}

// say tells the test who is there, and waits until it ends.
func say(p Process) error {
	if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
	return nil
}

// mount puts a file system on a new directory of this namespace, and tells which it is.
func mount(dir, kind, options string) (p Process, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, err
	}
	if err := unix.Mount("keeper", dir, kind, 0, options); err != nil {
		return p, fmt.Errorf("mount %s on %s: %w", kind, dir, err)
	}
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		return p, err
	}
	if stat.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return p, errors.New("no unique mount ids before Linux 6.8")
	}
	return Process{Major: stat.Dev_major, Minor: stat.Dev_minor, Mount: stat.Mnt_id}, nil
}

// AsNobody calls f on a thread that has given up every right, and ends with it.
func AsNobody[T any](f func() (T, error)) (got T, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never let go: the thread is of no use any more
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&head, &none[0]); err == nil {
			got, err = f()
		}
	}()
	<-done
	return got, err
}

// Crowd starts a process with this many threads that each have a working directory of their own
// on its file system, until the test ends.
func Crowd(t testing.TB, threads int) Process {
	t.Helper()
	hosttest.NeedsRoot(t)
	t.Setenv(crowdVar, fmt.Sprint(threads))
	return start(t, crowd)
}
