package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// Until Linux 3.15, and until RHEL 7.4 behind a setting, a directory that is a mount
// point in any mount namespace could not be removed: EBUSY. That is how the mounts that
// others keep made docker's removals fail, and later kernels take them off instead. A
// process that is started on such a kernel, as these tests make one, has its removals
// of directories looked at first, and so have all that it starts.
//
// Source: Linux 3.14 fs/namei.c, vfs_rmdir; 3.15 commit 8ed936b5671b; seccomp_unotify(2).

// onOldKernel returns the command line that runs a program there. Who judges its
// removals ends with the test, after the program.
func onOldKernel(t testing.TB, argv []string) []string {
	t.Helper()
	hosttest.Needs(t, "amd64", runtime.GOARCH == "amd64", "the filter knows the numbers of amd64's system calls")
	at := filepath.Join(t.TempDir(), "kernel")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- judgeRemovals(socket, stop) }()
	t.Cleanup(func() {
		socket.Close()
		close(stop)
		if err := <-ended; err != nil {
			t.Error("the old kernel:", err)
		}
	})
	return append([]string{"env", roleVar + "=old-kernel", fmt.Sprintf("/proc/%d/exe", os.Getpid()), at}, argv...)
}

// beOnOldKernel becomes a program, with a filter that hands its removals of
// directories to who listens at a socket.
func beOnOldKernel(socket string, argv []string) error {
	runtime.LockOSThread() // the filter is the thread's, and is kept when it executes the program
	const (
		rmdir         = 84 // amd64
		thirdArgument = 32 // offset in struct seccomp_data
	)
	op := func(code uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k}
	}
	filter := []unix.SockFilter{
		op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0),
		op(unix.BPF_JMP|unix.BPF_JEQ, rmdir, 3, 0),
		op(unix.BPF_JMP|unix.BPF_JEQ, unix.SYS_UNLINKAT, 0, 3),
		op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, thirdArgument, 0, 0),
		op(unix.BPF_JMP|unix.BPF_JSET, unix.AT_REMOVEDIR, 0, 1),
		op(unix.BPF_RET, unix.SECCOMP_RET_USER_NOTIF, 0, 0),
		op(unix.BPF_RET, unix.SECCOMP_RET_ALLOW, 0, 0),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	to, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	if _, _, err := to.WriteMsgUnix([]byte{0}, unix.UnixRights(int(listener)), nil); err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	os.Unsetenv(roleVar)
	return unix.Exec(path, argv, os.Environ())
}

// A removal is struct seccomp_notif, a judgement struct seccomp_notif_resp.
type removal struct {
	id         uint64
	pid, flags uint32
	call       int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type judgement struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// judgeRemovals gives each removal of a mount point EBUSY and lets the others go on.
func judgeRemovals(socket *net.UnixListener, stop <-chan struct{}) error {
	listener, err := received(socket)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	ioctl := func(request uint, about unsafe.Pointer) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), uintptr(request), uintptr(about)); errno != 0 && errno != unix.ENOENT { // it was interrupted
			return fmt.Errorf("ioctl %#x: %w", request, errno)
		}
		return nil
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		const patience = 100 // milliseconds
		if _, err := unix.Poll(ready, patience); err != nil && err != unix.EINTR {
			return err
		}
		switch {
		case ready[0].Revents&unix.POLLIN != 0:
		case ready[0].Revents != 0: // nobody is left
			return nil
		default:
			continue
		}
		var r removal
		if err := ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&r)); err != nil {
			return err
		}
		j := judgement{id: r.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if isMountPoint(r.path()) {
			j = judgement{id: r.id, errno: -int32(unix.EBUSY)}
		}
		if err := ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&j)); err != nil {
			return err
		}
	}
}

// received takes the descriptor that a program sends before it begins.
func received(socket *net.UnixListener) (int, error) {
	from, err := socket.AcceptUnix()
	if err != nil {
		return -1, err
	}
	defer from.Close()
	control := make([]byte, unix.CmsgSpace(4))
	if _, _, _, _, err := from.ReadMsgUnix(make([]byte, 1), control); err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// path is what is to be removed, "" if its caller is gone.
func (r removal) path() string {
	dir, name := fmt.Sprintf("/proc/%d/cwd", r.pid), r.args[0]
	if r.call == unix.SYS_UNLINKAT {
		if name = r.args[1]; int32(r.args[0]) != unix.AT_FDCWD {
			dir = fmt.Sprintf("/proc/%d/fd/%d", r.pid, int32(r.args[0]))
		}
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", r.pid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	text := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(text, int64(name)) // as much as there is
	path, _, _ := strings.Cut(string(text[:n]), "\x00")
	if !strings.HasPrefix(path, "/") {
		above, err := os.Readlink(dir)
		if err != nil {
			return ""
		}
		path = above + "/" + path
	}
	return filepath.Clean(path)
}

// isMountPoint reports whether something is mounted there, in any mount namespace.
func isMountPoint(path string) bool {
	if !strings.HasPrefix(path, work+"/") {
		return false // a container's own
	}
	seen := map[string]bool{}
	for _, pid := range pids() {
		dir := fmt.Sprintf("/proc/%d/", pid)
		space, err := os.Readlink(dir + "ns/mnt")
		if err != nil || seen[space] {
			continue
		}
		seen[space] = true
		table, _ := os.ReadFile(dir + "mountinfo")
		for line := range strings.Lines(string(table)) {
			if strings.Fields(line)[4] == path {
				return true
			}
		}
	}
	return false
}
