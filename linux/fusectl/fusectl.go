// Package fusectl ends a FUSE file system whose server answers no more: all its
// requests fail, and with them the waits that no signal ends.
//
// The kernel's control files are used where they are mounted. Where they are not,
// the file system is opened and attached nowhere: no table ever shows it, and it
// goes with its descriptor.
package fusectl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mounted is where systemd mounts the control files.
//
// Source: Linux 6.12 Documentation/filesystems/fuse.rst, "The control filesystem".
const Mounted = "/sys/fs/fuse/connections"

// magic is FUSE_CTL_SUPER_MAGIC. Linux 6.12 fs/fuse/control.c.
const magic = 0x65735543

var (
	// ErrGone is the error of a connection that has ended.
	ErrGone = errors.New("the FUSE connection has ended")
	// ErrRefused is the error of a connection that was left alone.
	ErrRefused = errors.New("not aborted")
)

// A Connection is one FUSE file system, held by its directory of control files: it
// is never another one's, though the number may be.
type Connection struct {
	minor int
	dir   int // O_PATH descriptor
}

// Open holds the connection with the minor number of its superblock: that of a
// mount of device 0:157 is 157. Numbers are used again, so the caller looks after
// Open whether the mount that it means still has that device, and acts then: its
// file system cannot have ended between. Errors wrap [ErrGone] if there is none.
//
// It needs no capability where the control files are mounted, else CAP_SYS_ADMIN
// in the host's user namespace and Linux 5.2. None of it waits for a server.
func Open(ctx context.Context, minor int) (*Connection, error) {
	if minor < 1 || minor >= 1<<20 {
		return nil, fmt.Errorf("FUSE connection %d: %w: a minor number is from 1 to %d", minor, ErrRefused, 1<<20-1)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("FUSE connection %d: %w: %w", minor, ErrRefused, err)
	}
	root, err := openRoot(Mounted)
	if err != nil {
		return nil, fmt.Errorf("FUSE connection %d: %w", minor, err)
	}
	defer unix.Close(root)
	dir, err := unix.Openat(root, strconv.Itoa(minor), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return &Connection{minor, dir}, nil
	case unix.ENOENT:
		return nil, fmt.Errorf("FUSE connection %d: %w", minor, ErrGone)
	}
	return nil, fmt.Errorf("open FUSE connection %d: %w", minor, err)
}

// openRoot opens the directory of all connections: the one at a path, if it is
// mounted there, or one that is mounted nowhere.
func openRoot(at string) (int, error) {
	fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		var fs unix.Statfs_t
		if err = unix.Fstatfs(fd, &fs); err == nil && fs.Type == magic {
			return fd, nil
		}
		unix.Close(fd)
	}
	fd, err = detached()
	if err != nil {
		return -1, fmt.Errorf("the control files are not mounted, and could not be opened without that: %w: as root, mount -t fusectl none %s", err, Mounted)
	}
	return fd, nil
}

// detached opens the file system of control files without a place for it.
//
// Source: fsopen(2), fsmount(2), Linux 5.2.
func detached() (int, error) {
	fs, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w", err)
	}
	return fd, nil
}

// Close lets go of the connection.
func (c *Connection) Close() { unix.Close(c.dir) }

// Waiting returns how many requests have no answer yet, the ones that nobody
// waits for included. A healthy server has some too, for a moment.
//
// It needs the uid of who mounted the file system, or CAP_DAC_READ_SEARCH.
func (c *Connection) Waiting() (int, error) {
	fd, err := c.open("waiting", unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	text := make([]byte, 32)
	n, err := unix.Read(fd, text)
	if err != nil {
		return 0, fmt.Errorf("FUSE connection %d: read waiting: %w", c.minor, err)
	}
	if n == 0 { // it ended after its file was opened
		return 0, fmt.Errorf("FUSE connection %d: %w", c.minor, ErrGone)
	}
	waiting, err := strconv.ParseUint(string(bytes.TrimSpace(text[:n])), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("FUSE connection %d: waiting is %q", c.minor, text[:n])
	}
	return int(waiting), nil
}

// Abort ends the connection: every request fails, those to come too, and the file
// system is of no use until it is mounted again. One without a waiting request is
// refused. Whoever has the file system mounted loses what its server did not get.
//
// It needs the uid of who mounted the file system, or CAP_DAC_OVERRIDE.
//
// Source: Linux 6.12 fs/fuse/control.c, fuse_conn_abort_write.
func (c *Connection) Abort(ctx context.Context) error {
	waiting, err := c.Waiting()
	switch {
	case err != nil:
		return err
	case waiting == 0:
		return fmt.Errorf("FUSE connection %d: %w: no request waits for an answer, so nothing hangs on it", c.minor, ErrRefused)
	case ctx.Err() != nil:
		return fmt.Errorf("FUSE connection %d: %w: %w", c.minor, ErrRefused, ctx.Err())
	}
	fd, err := c.open("abort", unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("1")); err != nil {
		return fmt.Errorf("FUSE connection %d: write abort: %w", c.minor, err)
	}
	return nil
}

func (c *Connection) open(name string, flags int) (int, error) {
	fd, err := unix.Openat(c.dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return fd, nil
	case unix.ENOENT:
		return -1, fmt.Errorf("FUSE connection %d: %w", c.minor, ErrGone)
	case unix.EACCES, unix.EROFS:
		return -1, fmt.Errorf("FUSE connection %d: open %s: %w: run sexton as root, with /sys mounted for writing", c.minor, name, err)
	}
	return -1, fmt.Errorf("FUSE connection %d: open %s: %w", c.minor, name, err)
}
