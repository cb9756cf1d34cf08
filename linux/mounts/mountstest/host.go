// Package mountstest makes a small host with planted mounts, each held in
// another way, and says what a reader must find.
//
// All of it lives in a PID and a mount namespace of its own, made private
// first, and ends with the test.
package mountstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"sexton.dev/internal/hosttest"
)

// What keeps a planted mount.
const (
	Control   = "control"    // nothing: the unmount in the host reached every copy
	Process   = "process"    // a process in a private copy of the namespace
	Thread    = "thread"     // one thread of a process
	Bind      = "bind"       // a namespace without a process, its file bound
	NamespFD  = "namespace"  // a namespace without a process, its file open
	Flying    = "flying"     // a namespace without a process, its file sent over a socket and not received
	Chrooted  = "chrooted"   // a process whose root is a plain directory: its mountinfo is empty
	UserOwned = "user-owned" // a process in a namespace that a new user namespace owns
	Covered   = "covered"    // a process whose "/" is below another mount
	OpenTree  = "open-tree"  // a tree in no namespace, held by the descriptor that made it
	Cwd       = "cwd"        // detached, held by a working directory
	File      = "file"       // detached, held by an open file
	Mapping   = "mapping"    // detached, held by a mapping
)

// A Plant is one planted mount and who holds it, in the numbers of the test's own /proc.
type Plant struct {
	Kind         string
	PID, TID, FD int // the holder; 0 where there is none to find
	Path         string
	Source       string // unlike any other's
	Major, Minor uint32
	Namespace    uint64 // inode; 0 for what is in none
	NamespaceID  uint64 // 0 before Linux 6.11
	UniqueID     uint64 // of the mount that was detached; 0 where a copy is held, which has another
	BoundAt      string
}

// A Host is a planted host that runs.
type Host struct {
	Plants []Plant
	Dir    string // all of its mounts are below it
}

// What a part of the host is told by its environment.
const (
	roleVar = "SEXTON_MOUNTS_PLANT"
	procVar = "SEXTON_MOUNTS_PROC" // where the /proc of the test is: their own has other numbers
)

// Main runs the tests, or the part of a planted host that this process was
// started for. A test package that starts a host calls it from TestMain.
func Main(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		play(role, os.Args[1:])
	}
	os.Exit(m.Run())
}

// Start makes a host of this many mount namespaces besides the planted ones, with
// this many mounts in each besides the machine's, and this many processes. It
// needs root.
func Start(t testing.TB, namespaces, mountsEach, processesEach int) *Host {
	t.Helper()
	hosttest.NeedsRoot(t)
	h := &Host{Dir: t.TempDir() + "/host"}
	cmd := role("host", h.Dir, fmt.Sprint(namespaces), fmt.Sprint(mountsEach), fmt.Sprint(processesEach))
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	var said strings.Builder
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	err = startOnThread(cmd, ended)
	hosttest.Needs(t, "mount-namespace", err == nil, fmt.Sprintf("the right to clone(CLONE_NEWPID|CLONE_NEWNS): %v", err))
	t.Cleanup(func() {
		stdin.Close() // its sign to end
		cmd.Wait()
		close(ended)
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &h.Plants)
	}
	if err != nil {
		t.Fatalf("the planted host did not start: %v\n%s", err, said.String())
	}
	return h
}

// startOnThread starts cmd from a thread that lives until ended: a death signal
// comes when the thread that made the child ends, and tests end threads.
func startOnThread(cmd *exec.Cmd, ended <-chan struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}

// Plant returns the one of this kind.
func (h *Host) Plant(t testing.TB, kind string) Plant {
	t.Helper()
	for _, p := range h.Plants {
		if p.Kind == kind {
			return p
		}
	}
	t.Fatalf("no plant %s", kind)
	return Plant{}
}

// role is this program, started as part of a host.
func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
