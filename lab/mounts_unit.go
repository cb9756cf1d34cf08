package lab

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mountUnit does what its words say, each NAME or NAME=VALUE, and then holds
// what it has until its time is over.
func mountUnit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.hello(); err != nil {
		return err
	}
	var held []*os.File
	var full *os.File
	for _, word := range s.args {
		name, value, _ := strings.Cut(word, "=")
		f, err := unitDoes(name, value)
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
		if name == "fill" {
			full = f
		}
		held = append(held, f)
	}
	if err := s.tell(report{Step: "ready"}); err != nil {
		return err
	}
	s.alone()
	if full != nil {
		writeBlocks(full, waitBlocks*3/4) // fails when it has waited for too long
	}
	time.Sleep(time.Until(s.until))
	runtime.KeepAlive(held)
	return nil
}

// unitDoes changes the unit's own mount namespace, or opens what it then holds.
func unitDoes(name, value string) (*os.File, error) {
	switch name {
	case "slave": // as systemd begins every unit with a mount namespace
		return nil, apart(unix.MS_SLAVE)
	case "shared": // and how it goes on by default
		return nil, propagate("/", unix.MS_REC|unix.MS_SHARED)
	case "private": // as unshare(1) does
		return nil, apart(unix.MS_PRIVATE)
	case "tmp": // PrivateTmp=yes
		return nil, unix.Mount(value, "/tmp", "", unix.MS_BIND, "")
	case "hostpath":
		return nil, containerRoot()
	case "thread":
		return nil, threadNamespace()
	case "namespace":
		return os.Open("/proc/" + value + "/ns/mnt")
	case "file":
		return os.Open(filepath.Join(value, "held"))
	case "fill":
		return os.OpenFile(filepath.Join(value, "data"), os.O_CREATE|os.O_WRONLY|unix.O_DIRECT, 0o600)
	case "tree":
		fd, err := unix.OpenTree(unix.AT_FDCWD, value, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		return os.NewFile(uintptr(fd), "tree"), err
	}
	return nil, errors.New("no such word")
}

// apart makes the unit's mounts slaves or private: what it unmounts then stays its own.
func apart(how uintptr) error {
	err := propagate("/", unix.MS_REC|how)
	if err == nil {
		returnPrograms()
	}
	return err
}

// containerRoot moves into a root as a container has it, with the host's
// /var/lib bound below /host and no propagation.
func containerRoot() error {
	const root = "/host" // an empty directory of the host's root
	if err := freshRoot(root, 0, "size=1m", "proc", "host/var/lib"); err != nil {
		return err
	}
	for to, from := range map[string]string{"proc": "/proc", "host/var/lib": "/var/lib"} {
		if err := unix.Mount(from, filepath.Join(root, to), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	return enterRoot(root)
}

// threadNamespace leaves one thread in a mount namespace of its own.
func threadNamespace() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: no other goroutine may run here
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = apart(unix.MS_PRIVATE)
		}
		done <- err
		if err == nil {
			select {}
		}
	}()
	return <-done
}
