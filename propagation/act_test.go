package propagation_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sexton.dev/propagation"
)

func spaceOf(s openSpace) propagation.Namespace {
	return propagation.Namespace{ID: s.id, Owner: s.owner}
}

// prepare makes what a step needs to stand on.
func (h *host) prepare(s step) {
	space := h.space(s.space)
	if space == nil {
		return
	}
	enter(space.fd)
	dirs := map[string][]int{
		"mkdir": {0}, "tmpfs": {0}, "beneath": {0}, "bind": {0, 1}, "rbind": {0, 1}, "tree": {0, 1}, "rtree": {0, 1}, "move": {1}, "rename": {0},
	}[s.verb]
	for _, n := range dirs {
		os.MkdirAll(s.full(n), 0o755) // what fails is refused by the step itself
	}
}

// act does a step, the kernel's way. A namespace that is not there is ENOENT.
func (h *host) act(s step) syscall.Errno {
	from := s.space
	if s.verb == "=" {
		from = s.args[0]
	}
	space := h.space(from)
	if space == nil || s.verb == "=" && h.space(s.space) != nil {
		return unix.ENOENT
	}
	enter(space.fd)
	defer enter(h.home)
	err := h.do(s, space)
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		panic(fmt.Sprintf("%s: %v", s, err))
	}
	return errno
}

func (h *host) do(s step, space *openSpace) error {
	path, to := s.full(0), s.full(1)
	switch s.verb {
	case "=":
		if len(s.args) > 1 {
			return h.cloneUser(s.space)
		}
		return h.unshare(s.space)
	case "mkdir":
		return nil
	case "tmpfs":
		return unix.Mount("tmpfs", path, "tmpfs", 0, "size=1m")
	case "bind":
		return unix.Mount(path, to, "", unix.MS_BIND, "")
	case "rbind":
		return unix.Mount(path, to, "", unix.MS_BIND|unix.MS_REC, "")
	case "move":
		return unix.Mount(path, to, "", unix.MS_MOVE, "")
	case "tree":
		return attachTree(path, to, 0)
	case "rtree":
		return attachTree(path, to, unix.AT_RECURSIVE)
	case "beneath":
		return attachBeneath(path)
	case "umount":
		return unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	case "umount-l":
		return unix.Unmount(path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	case "rmdir":
		return unix.Rmdir(path)
	case "rename":
		return unix.Rename(path, to)
	case "pivot": // as container runtimes enter a root
		if err := os.MkdirAll(path+"/old", 0o755); err != nil {
			return err
		}
		if err := unix.PivotRoot(path, path+"/old"); err != nil {
			return err
		}
		return unix.Chdir("/")
	}
	if isType(s.verb) {
		flags := map[string]uintptr{"shared": unix.MS_SHARED, "slave": unix.MS_SLAVE, "private": unix.MS_PRIVATE, "unbindable": unix.MS_UNBINDABLE}[strings.TrimPrefix(s.verb, "r")]
		if s.verb[0] == 'r' {
			flags |= unix.MS_REC
		}
		return unix.Mount("", path, "", flags, "")
	}
	return h.hold(s.verb, path, space)
}

// attachTree is a bind by the new calls.
func attachTree(from, to string, flags uint) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// attachBeneath puts a new tmpfs under the mount at a path.
func attachBeneath(path string) error {
	config, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(config)
	if err := unix.FsconfigCreate(config); err != nil {
		return err
	}
	fd, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const beneath = 0x200 // MOVE_MOUNT_BENEATH, Linux 6.5
	return unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH|beneath)
}

// hold keeps a mount in use, in the ways of its verb, and remembers which.
func (h *host) hold(verb, path string, space *openSpace) error {
	id := h.mountAt(path)
	if id == 0 {
		return unix.ENOENT
	}
	switch verb {
	case "hold", "open", "send", "map":
		flags := unix.O_PATH
		switch verb {
		case "open", "send":
			flags = unix.O_RDONLY
		case "map":
			path, flags = path+"/mapped", unix.O_RDWR|unix.O_CREAT
		}
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		if err := h.keep(verb, fd); err != nil {
			return err
		}
	case "cwd", "root":
		top := h.thread(space.fd, verb, path)
		h.held[top] = true
	default:
		panic("no such verb: " + verb)
	}
	h.held[id] = true
	return nil
}

// keep holds by an open file, a mapping alone, or a message that nobody has received.
func (h *host) keep(verb string, fd int) error {
	switch verb {
	case "map":
		defer unix.Close(fd)
		if err := unix.Ftruncate(fd, 4096); err != nil {
			return err
		}
		m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
		h.mapped = append(h.mapped, m)
		return err
	case "send":
		defer unix.Close(fd)
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		h.files = append(h.files, pair[0], pair[1])
		return unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	h.files = append(h.files, fd)
	return nil
}

// thread starts a thread whose working directory or root is a path of a namespace. Its root is
// a reference too; thread returns the mount of that.
func (h *host) thread(space int, verb, path string) uint64 {
	stop, ready := make(chan struct{}), make(chan uint64)
	h.threads = append(h.threads, stop)
	h.running.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			panic(err)
		}
		enter(space)
		top := h.mountAt("/")
		var err error
		if verb == "root" {
			err = unix.Chroot(path) // the working directory stays on top
		} else {
			err = unix.Chdir(path)
		}
		if err != nil {
			panic(err)
		}
		ready <- top
		<-stop
	})
	return <-ready
}
