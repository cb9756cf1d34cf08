package mountstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// held is what a holder says of itself.
type held struct {
	PID, TID, FD           int
	Namespace, NamespaceID uint64
	cmd                    *exec.Cmd
}

// startHolder starts one and waits until it holds.
func startHolder(kind string, attr *syscall.SysProcAttr, args ...string) (held, error) {
	cmd := role(kind, args...)
	if attr != nil {
		attr.Pdeathsig = syscall.SIGKILL
		cmd.SysProcAttr = attr
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return held{}, err
	}
	if err := cmd.Start(); err != nil {
		return held{}, err
	}
	h := held{cmd: cmd}
	if err := json.NewDecoder(out).Decode(&h); err != nil {
		return held{}, fmt.Errorf("holder %s said nothing: %w", kind, errors.Join(err, cmd.Wait()))
	}
	return h, nil
}

func (h held) end() error {
	if err := h.cmd.Process.Kill(); err != nil {
		return err
	}
	h.cmd.Wait() // it was killed
	return nil
}

// hold does what the kind says and then waits to be killed.
func hold(kind string, args []string) error {
	var h held
	var err error
	switch kind {
	case "slave":
		if err = ownNamespace(unix.MS_SLAVE); err == nil {
			err = company(args[0])
		}
	case Process:
		err = ownNamespace(unix.MS_PRIVATE)
	case UserOwned:
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	case Thread:
		return holdInThread()
	case Chrooted:
		if err = ownNamespace(unix.MS_PRIVATE); err == nil {
			return holdChrooted(filepath.Dir(args[0]))
		}
	case Covered:
		if err = ownNamespace(unix.MS_PRIVATE); err == nil {
			err = unix.Mount("cover", "/", "tmpfs", 0, "size=64k")
		}
	case NamespFD, Flying:
		h.FD, err = unix.Open(filepath.Join(os.Getenv(procVar), args[0], "ns/mnt"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil && kind == Flying {
			err = send(h.FD)
		}
	case OpenTree:
		h.FD, err = unix.OpenTree(unix.AT_FDCWD, args[0], unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	case Cwd:
		err = unix.Chdir(args[0])
	case File, Mapping:
		h.FD, err = unix.Open(filepath.Join(args[0], "file"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err == nil && kind == Mapping {
			err = mapAndClose(h.FD)
			h.FD = 0
		}
	default:
		err = errors.New("no such kind")
	}
	if err != nil {
		return err
	}
	return report(h)
}

// ownNamespace puts this process, which was started for it, into a mount
// namespace of its own: the thread that does it executes the program again, and
// then all threads are in it.
func ownNamespace(propagation uintptr) error {
	const done = "SEXTON_MOUNTS_OWN"
	if os.Getenv(done) != "" {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
		return fmt.Errorf("set the propagation of /: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), done+"=1"))
}

// OnDyingThread runs f on a thread that ends after it, if it is the last call of
// a goroutine; never on the process's first thread, which does not end.
func OnDyingThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		f()
	}()
	<-done
}

// company starts that many processes, which end with the PID namespace.
func company(count string) error {
	n, err := strconv.Atoi(count)
	for range n {
		err = errors.Join(err, exec.Command("sleep", "infinity").Start())
	}
	return err
}

func holdInThread() error {
	failed := make(chan error)
	go OnDyingThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = report(held{})
		}
		failed <- err
	})
	return <-failed
}

// holdChrooted asks before the chroot, after which there is no /proc.
func holdChrooted(dir string) error {
	h, err := self(held{})
	if err != nil {
		return err
	}
	plain := filepath.Join(dir, "plain")
	if err := os.MkdirAll(plain, 0o755); err != nil {
		return err
	}
	if err := unix.Chroot(plain); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return say(h)
}

// send leaves fd in a socket's queue alone.
func send(fd int) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	return unix.Close(fd)
}

func mapAndClose(fd int) error {
	if err := unix.Ftruncate(fd, 4096); err != nil {
		return err
	}
	if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return err
	}
	return unix.Close(fd)
}

func report(h held) error {
	h, err := self(h)
	if err != nil {
		return err
	}
	return say(h)
}

// self adds who this thread is to those who read the /proc of the test.
func self(h held) (held, error) {
	link, err := os.Readlink(os.Getenv(procVar) + "/thread-self")
	if err != nil {
		return h, err
	}
	if _, err := fmt.Sscanf(link, "%d/task/%d", &h.PID, &h.TID); err != nil {
		return h, fmt.Errorf("thread-self is %q: %w", link, err)
	}
	fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return h, err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return h, err
	}
	h.Namespace = stat.Ino
	// Before Linux 6.11 there is no id, and 0 says so.
	unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_MNTNS_ID, uintptr(unsafe.Pointer(&h.NamespaceID)))
	return h, nil
}

func say(h held) error {
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return err
	}
	for {
		unix.Pause()
	}
}
