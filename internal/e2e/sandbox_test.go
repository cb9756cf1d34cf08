// Package e2e runs the sexton binary as people do, against real container
// runtimes and real faults.
//
// The whole package runs in namespaces of its own (PID, mount, IPC, network),
// with a /proc and a /run of its own and below one control group: what a test
// starts, mounts or stops cannot reach the machine, a scan sees nothing of the
// machine's own processes, and the kernel ends all of it when the test binary
// ends, however that comes about.
//
//	outside   the test binary as go test starts it: builds, waits, cleans up
//	init      the first process of the namespaces: makes the mounts and reaps
//	inside    the test binary again: runs the tests
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the roles tell each other by the environment.
const (
	roleVar = "SEXTON_E2E_ROLE"
	dirVar  = "SEXTON_E2E_DIR"
)

// work is this run's directory. Its base name is that of this run's cgroup too.
var work string

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "init":
		os.Exit(beInit())
	case "inside":
		os.Exit(inside(m))
	case "debugger":
		os.Exit(beDebugger(os.Args[1]))
	case "churn", "deaf":
		os.Exit(beHostile(os.Getenv(roleVar), os.Args[1]))
	case "mute":
		fmt.Fprintln(os.Stderr, "mute:", beMute(os.Args[1]))
		os.Exit(1)
	case "daemon":
		fmt.Fprintln(os.Stderr, "daemon:", beDaemon(os.Args[1]))
		os.Exit(1)
	case "old-kernel":
		fmt.Fprintln(os.Stderr, "old kernel:", beOnOldKernel(os.Args[1], os.Args[2:]))
		os.Exit(1)
	}
	flag.Parse()
	if os.Getuid() != 0 || flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run()) // every test says that it needs root
	}
	os.Exit(outside())
}

// outside runs this test binary again, in the sandbox, and returns its exit status.
func outside() int {
	dir, err := makeWork()
	if err == nil {
		err = build(dir)
	}
	code := 1
	if err == nil {
		code, err = enter(dir)
	}
	if dir != "" {
		err = errors.Join(err, removeWork(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return max(code, 1)
	}
	return code
}

// enter starts the sandbox's init and waits for it. Init ends with this thread.
func enter(dir string) (int, error) {
	runtime.LockOSThread() // Pdeathsig means the thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), roleVar+"=init", dirVar+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("the sandbox: %w", err)
	}
	return 0, nil
}

// beInit is the first process of the PID namespace: it makes the mounts, starts
// the tests and reaps whatever they leave. Its end is the end of all.
func beInit() int {
	if err := makeMounts(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: sandbox:", err)
		return 1
	}
	os.Setenv(roleVar, "inside")
	tests, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: start the tests:", err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR), err == nil && pid != tests:
		case err != nil:
			fmt.Fprintln(os.Stderr, "e2e: wait for the tests:", err)
			return 1
		case status.Signaled():
			fmt.Fprintln(os.Stderr, "e2e: the tests ended by", status.Signal())
			return 1
		default:
			return status.ExitStatus()
		}
	}
}

// makeMounts gives the sandbox its own /proc and /run: the machine's daemons
// have their sockets there, and sexton its memory of silent ones.
func makeMounts() error {
	if os.Getpid() != 1 {
		return errors.New("not the first process of a PID namespace")
	}
	const plain = unix.MS_NOSUID | unix.MS_NODEV
	for _, m := range []struct {
		source, target, kind, data string
		flags                      uintptr
	}{
		{target: "/", flags: unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", "", plain | unix.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", "mode=0755,size=256m", plain},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return errors.Join(maskKernelLog(), raiseLoopback())
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// inside runs the tests, and fails if they left a process in the sandbox.
func inside(m *testing.M) int {
	work = os.Getenv(dirVar)
	os.Unsetenv(roleVar)
	os.Unsetenv(dirVar)
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/bin:/sbin:/bin")
	if err := copyFile(sexton(), filepath.Join(work, "bin", "sexton")); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	left := strangers()
	for end := time.Now().Add(soon); len(left) > 0 && time.Now().Before(end); left = strangers() {
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 {
		fmt.Fprintln(os.Stderr, "e2e: the tests left processes behind:", strings.Join(left, ", "))
		return max(code, 1)
	}
	return code
}

// copyFile makes an executable file.
func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// strangers lists the processes of the sandbox that are neither init nor this one.
func strangers() []string {
	var out []string
	for _, pid := range pids() {
		if pid != 1 && pid != os.Getpid() {
			text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
			if state, _, ok := strings.Cut(string(text), " 0 "); ok {
				out = append(out, state)
			} else if len(text) > 0 {
				out = append(out, strings.TrimSpace(string(text[:min(40, len(text))])))
			}
		}
	}
	return out
}

// pids lists all processes of the sandbox.
func pids() []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var out []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
