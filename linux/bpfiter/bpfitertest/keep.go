package bpfitertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keep makes a file system and keeps it in the way of the kind. It returns only errors.
func keep(kind, dir string) error {
	if os.Getenv(stageVar) != "" {
		return sayProgram(kind)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	at, p, err := fileSystem(kind, dir)
	if err != nil {
		return err
	}
	file := filepath.Join(at, "file")
	switch kind {
	case Cwd:
		err = unix.Chdir(at)
	case Root:
		err = unix.Chroot(at)
	case Program, LateProgram:
		return become(file, p)
	case ThreadFile, ThreadCwd:
		return inThread(kind, at, p)
	case crowd:
		err = gather(at)
	case Ring:
		err = register(file)
	case Tree:
		p.Mount = 0
		if _, err = unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err == nil {
			err = unix.Unmount(at, 0)
		}
	case File, OverlayFile:
		_, err = open(file)
	case LastFile:
		err = openLast(file)
	case Detached, OverlayGone:
		if _, err = open(file); err == nil {
			err = unix.Unmount(at, unix.MNT_DETACH)
		}
	case Mapping, OverlayMap:
		err = mapAndClose(file)
	case DetachedMap, OverlayGoneMap:
		if err = mapAndClose(file); err == nil {
			err = unix.Unmount(at, unix.MNT_DETACH)
		}
	case Leaderless:
		if _, err = open(file); err == nil {
			err = leave(p)
		}
	case Wide:
		err = unix.Dup3(0, lastOfWide, unix.O_CLOEXEC)
	case None:
		err = ofNoMount()
	}
	if err != nil {
		return err
	}
	return say(p)
}

// fileSystem makes the one that is kept, with a file in it.
func fileSystem(kind, dir string) (at string, p Process, err error) {
	at = filepath.Join(dir, "kept")
	switch kind {
	case OverlayFile, OverlayMap, OverlayGone, OverlayGoneMap:
		if _, err := mount(dir+"/lower", "tmpfs", "size=64k"); err != nil {
			return "", p, err
		}
		if _, err := mount(dir+"/upper", "tmpfs", "size=64k"); err != nil {
			return "", p, err
		}
		layer := dir + "/upper/diff"
		if err := errors.Join(os.Mkdir(layer, 0o755), os.Mkdir(dir+"/upper/work", 0o755)); err != nil {
			return "", p, err
		}
		p, err = mount(at, "overlay", fmt.Sprintf("lowerdir=%s/lower,upperdir=%s,workdir=%s/upper/work", dir, layer, dir))
		p.Layer = layer
	default:
		p, err = mount(at, "tmpfs", "size=64m")
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(at, "file"), make([]byte, 4096), 0o700)
	}
	return at, p, err
}

func open(file string) (int, error) { return unix.Open(file, unix.O_RDWR|unix.O_CLOEXEC, 0) }

func mapAndClose(file string) error {
	fd, err := open(file)
	if err != nil {
		return err
	}
	if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return err
	}
	return unix.Close(fd)
}

// become executes a copy of this program that is on the file system.
func become(file string, p Process) error {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, program, 0o700); err != nil {
		return err
	}
	stage := fmt.Sprintf("%s=%d %d %d", stageVar, p.Major, p.Minor, p.Mount)
	return unix.Exec(file, os.Args, append(os.Environ(), stage))
}

func sayProgram(kind string) error {
	var p Process
	if _, err := fmt.Sscan(os.Getenv(stageVar), &p.Major, &p.Minor, &p.Mount); err != nil {
		return err
	}
	if kind == LateProgram {
		return leave(p)
	}
	return say(p)
}

// inThread has another thread than the first keep it.
func inThread(kind, at string, p Process) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FILES | unix.CLONE_FS)
		switch {
		case err != nil:
		case kind == ThreadCwd:
			err = unix.Chdir(at)
		default:
			_, err = open(at + "/file")
		}
		p.TID = unix.Gettid()
		done <- err
		select {}
	}()
	if err := <-done; err != nil {
		return err
	}
	return say(p)
}

// gather starts threads with a directory each, as many as the test wants.
func gather(at string) error {
	n, err := strconv.Atoi(os.Getenv(crowdVar))
	if err != nil {
		return err
	}
	debug.SetMaxThreads(2 * n)
	done := make(chan error)
	for range n {
		go func() {
			runtime.LockOSThread()
			done <- errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chdir(at))
			select {}
		}()
	}
	for range n {
		err = errors.Join(err, <-done)
	}
	return err
}

// leave ends the first thread, on which Main is; another one has to speak.
func leave(p Process) error {
	go say(p)
	unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // no raw one: with it an only processor would be lost to say
	return errors.New("still there")
}

// register makes an io_uring and registers a file with it.
//
// Source: io_uring_setup(2), io_uring_register(2).
func register(file string) error {
	const registerFiles = 2
	var params [120]byte
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return fmt.Errorf("io_uring_setup: %w", errno)
	}
	fd, err := open(file)
	if err != nil {
		return err
	}
	files := [1]int32{int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, ring, registerFiles, uintptr(unsafe.Pointer(&files)), 1, 0, 0); errno != 0 {
		return fmt.Errorf("io_uring_register: %w", errno)
	}
	return unix.Close(fd)
}

const lastOfWide = 1023 // a table has room for a power of two

func openLast(file string) error {
	fd, err := open(file)
	if err != nil {
		return err
	}
	return errors.Join(unix.Dup3(fd, lastOfWide, unix.O_CLOEXEC), unix.Close(fd))
}

// ofNoMount opens what is like that which others keep, and is on no mount.
func ofNoMount() error {
	_, err1 := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	_, err2 := unix.Eventfd(0, unix.EFD_CLOEXEC)
	memory, err3 := unix.MemfdCreate("[io_uring]", unix.MFD_CLOEXEC)
	if err := errors.Join(err1, err2, err3, unix.Ftruncate(memory, 4096)); err != nil {
		return err
	}
	_, err := unix.Mmap(memory, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	return err
}
