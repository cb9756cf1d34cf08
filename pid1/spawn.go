package pid1

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"sexton.dev/pid1/options"
)

// cloneParent makes the main child a child of the init, not of the Go child.
const cloneParent = syscall.CLONE_PARENT

// A birth is all that a new process needs.
type birth struct {
	path     string
	argv     []string
	env      []string
	terminal options.Terminal
	tty      int // descriptor of the terminal; -1: none to be given
	here     int // descriptor of the directory where it begins; -1: the maker's
	dir      string
	user     *options.User
	mask     uint64
	ignored  uint64
	nofile   *[2]uint64
}

// A sigaction is the kernel's, of amd64 and arm64.
//
// Source: Linux 6.12 include/linux/signal_types.h, struct sigaction.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

var ignore = sigaction{handler: 1} // SIG_IGN

const sigSetmask = 2

// setMask sets the signal mask of this thread and returns the one before.
func setMask(mask uint64) (old uint64) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask,
		uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return old
}

// make makes the process: by its script where the entry told what the init was
// given, else as the runtime can, which loses what it had ignored.
func (b *birth) make(parent uintptr, entered bool) (pid int, doing string, err error) {
	if entered {
		return b.scripted(parent)
	}
	attr := &syscall.ProcAttr{Dir: b.dir, Env: b.env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{
		Setpgid: b.terminal == options.Foreground,
		Setsid:  b.terminal == options.Session,
	}}
	if b.terminal == options.Session && isTerminal(0) {
		attr.Sys.Setctty = true
	}
	if b.user != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(b.user.UID), Gid: uint32(b.user.GID)}
	}
	pid, err = syscall.ForkExec(b.path, b.argv, attr)
	if err == nil && b.terminal == options.Foreground && b.tty >= 0 {
		b.front(pid)
	}
	return pid, "", err
}

// front puts the main child's group in front of the terminal, after the fact: it
// may have been stopped for reading too early.
func (b *birth) front(pid int) {
	group := int32(pid)
	old := setMask(1 << (syscall.SIGTTOU - 1))
	syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(b.tty), syscall.TIOCSPGRP, uintptr(unsafe.Pointer(&group)))
	setMask(old)
	syscall.Kill(-pid, syscall.SIGCONT)
}

// lookPath finds a command as execvp(3) does. Without PATH it searches /bin and
// /usr/bin. If there is none, the error is EACCES where a file of the name is
// not executable, else ENOENT.
func lookPath(name, path string, found bool) (string, error) {
	if strings.Contains(name, "/") || name == "" {
		return name, nil // execve tells what is wrong
	}
	if !found {
		path = "/bin:/usr/bin"
	}
	err := error(syscall.ENOENT)
	for dir := range strings.SplitSeq(path, ":") {
		file := name
		if dir != "" {
			file = dir + "/" + name
		}
		var st syscall.Stat_t
		if e := syscall.Stat(file, &st); e != nil {
			if e == syscall.EACCES {
				err = e
			}
			continue
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFREG && syscall.Access(file, 1) == nil {
			return file, nil
		}
		err = syscall.EACCES
	}
	return "", err
}

// terminal is the descriptor of the controlling terminal if the init's group is
// in its front, so that it can be given to the main child; else -1.
//
// Source: tty_ioctl(4).
func terminal(pgrp int) int {
	fd, err := syscall.Open("/dev/tty", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		fd = 0
	}
	var front int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&front)))
	if errno != 0 || int(front) != pgrp {
		return -1
	}
	return fd
}

// isTerminal reports whether a descriptor is a terminal.
func isTerminal(fd int) bool {
	var t [64]byte // struct termios is smaller
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TCGETS, uintptr(unsafe.Pointer(&t)))
	return errno == 0
}

func parseHex(text string) uint64 {
	n, _ := strconv.ParseUint(text, 16, 64) // our own words
	return n
}

const execMark = "!exec "

// execute is the main child of an init that LISTEN_PID named: it puts its own
// number there and executes argv. Its name carries the mask and what is ignored.
func execute(argv []string) {
	runtime.LockOSThread()
	mask, ignored, _ := strings.Cut(strings.TrimPrefix(os.Args[0], mark+execMark), " ")
	for sig := uint64(1); sig < options.Signals; sig++ {
		if parseHex(ignored)>>(sig-1)&1 != 0 {
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
		}
	}
	os.Setenv("LISTEN_PID", itoa(os.Getpid()))
	env := os.Environ()
	setMask(parseHex(mask))
	err := syscall.Exec(argv[0], argv[1:], env)
	say("sexton-init: " + argv[0] + ": " + err.Error())
	if err == syscall.EACCES {
		os.Exit(126)
	}
	os.Exit(127)
}
