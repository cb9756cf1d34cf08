package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Where the fault's file is, in its own mount namespace.
const (
	fuseDir  = "/mnt"
	fuseFile = "held"
)

// stuckInit is the first process of the fault's PID and mount namespaces. It
// stops the server when the reader has dirtied a page of the server's file, and
// then lets the reader unmap it. Its own end is the end of both.
func stuckInit(s stage) error {
	signal.Ignore(syscall.SIGHUP)
	if err := s.first(3, "stuck-init wants a fault, a directory and the mount namespace of up"); err != nil {
		return err
	}
	fault := s.args[0]
	if err := leaveSharing(s.args[2]); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), s.until)
	defer cancel()
	// Both start while there is a file system to start programs from.
	server, err := launch(ctx, fault, "stuck-server", s.until, nil)
	if err != nil {
		return err
	}
	role, sticks := "stuck-reader", stickStopped
	if fault == fuseDead.Name {
		role, sticks = "doomed-reader", stickMute
	}
	reader, err := launch(ctx, fault, role, s.until, nil)
	if err != nil {
		return err
	}
	if err := ownRoot(s.args[1]); err != nil {
		return err
	}
	for _, p := range []*play{server, reader} { // the reader uses what the server serves
		if err := p.next(ctx, "ready"); err != nil {
			return err
		}
	}
	if err := sticks(ctx, server, reader); err != nil {
		return err
	}
	if err := s.reach("stuck"); err != nil {
		return err
	}
	s.alone()
	for { // until our time is over or somebody has ended both
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return nil
		}
	}
}

// stickStopped stops the server before the reader needs it.
func stickStopped(_ context.Context, server, reader *play) error {
	if err := stop(server.cmd.Process.Pid); err != nil {
		return err
	}
	return reader.order()
}

// stop sends SIGSTOP to a child and returns when all its threads have stopped.
func stop(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the FUSE server: %w", err)
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait until the FUSE server has stopped: %w", err)
		}
		if !status.Stopped() {
			return fmt.Errorf("the FUSE server ended: %v", status)
		}
		return nil
	}
}

// leaveSharing makes sure that no mount or unmount in here can reach another
// namespace. outer is the link text of the mount namespace that this must not be.
func leaveSharing(outer string) error {
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	if here == outer {
		return errors.New("not in a mount namespace of its own")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	table, err := mountedHere()
	if err != nil {
		return err
	}
	for _, m := range table {
		if m.Shared != 0 || m.Master != 0 {
			return fmt.Errorf("%q is still shared with another mount namespace", m.MountPoint)
		}
	}
	return nil
}

// ownRoot gives all processes of this mount namespace a fresh tmpfs as root,
// with /dev/fuse and nothing else: the namespace then holds none of the host's
// mounts, whose devices it would keep busy. dir is covered on the way.
//
// Source: pivot_root(2): it moves the root and the working directory of every
// process that has the old root as its own.
func ownRoot(dir string) error {
	if err := freshRoot(dir, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=64k,mode=0700", "dev", fuseDir); err != nil {
		return err
	}
	device := filepath.Join(dir, "dev/fuse")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount("/dev/fuse", device, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind /dev/fuse: %w", err)
	}
	return enterRoot(dir)
}

// freshRoot covers a directory with a tmpfs that has these directories, for enterRoot.
func freshRoot(dir string, flags uintptr, options string, names ...string) error {
	if err := unix.Mount(mountSource, dir, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
	}
	for _, name := range append(names, "old") {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// mountProc mounts this PID namespace's /proc in a root to come.
func mountProc(dir string) error {
	if err := unix.Mount(mountSource, filepath.Join(dir, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	return nil
}

// enterRoot makes the directory of freshRoot the root of this mount namespace and
// lets go of all that the old one had.
func enterRoot(dir string) error {
	if err := unix.PivotRoot(dir, filepath.Join(dir, "old")); err != nil {
		return hint(fmt.Errorf("pivot_root: %w", err), "run it where / is a mount point and not the initramfs")
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the host's mounts: %w", err)
	}
	return os.Remove("/old")
}

// stuckServer serves one file of one page until it is stopped.
func stuckServer(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	server, err := mountPage(fuseDir)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	server.asked = func() { s.tell(report{Step: "asked"}) }
	go func() { failed <- server.serve() }()
	go func() {
		if s.wait() == nil { // the word to answer no more
			server.mute.Store(true)
			s.tell(report{Step: "mute"})
		}
	}()
	if err := s.tell(report{Step: "ready"}); err != nil {
		return err
	}
	err = <-failed
	if err == nil && server.mute.Load() { // the file system was taken away: this goes on living
		time.Sleep(time.Until(s.until))
	}
	return err
}

// stuckMapper maps the file, dirties its page and, when the server is stopped,
// maps over it: the kernel must write the page back before it lets the mapping
// go, and holds mmap_lock for write all the while.
//
// Source: Linux 6.12 fs/fuse/file.c, fuse_vma_close; mm/vma.c, __mmap_region.
func stuckMapper(s stage) error {
	if err := s.hello(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(fuseDir, fuseFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size := uintptr(os.Getpagesize())
	page, err := unix.MmapPtr(int(f.Fd()), 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the FUSE file: %w", err)
	}
	*(*byte)(page) = 1
	if err := s.reach("ready"); err != nil {
		return err
	}
	if _, err := unix.MmapPtr(-1, 0, page, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED); err != nil {
		return err
	}
	// Somebody made the server answer, or took it away: the fault is healed, and this goes on living.
	time.Sleep(time.Until(s.until))
	return nil
}
