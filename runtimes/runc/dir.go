package runc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/inroot"
)

// ErrNoReader is the error of a fifo that nobody opens for reading.
var ErrNoReader = errors.New("nobody waits for the fifo's other side")

// A Dir is the directory of one container's state with its fifo, held open. The fifo
// itself is not opened: that would be its other side.
type Dir struct {
	Major, Minor uint32 // of the fifo's file system
	Inode        uint64 // of the fifo

	dir, fifo int // O_PATH descriptors
}

// Open opens the directory of a fifo, whose path is below a root directory, as
// /proc/PID/root is one. No link on the way leads out of that. The caller closes it.
// Errors wrap those of openat2(2).
func Open(root, file string) (*Dir, error) {
	top, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(top)
	d := &Dir{fifo: -1}
	if d.dir, err = inroot.Open(top, path.Dir(file), unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return nil, fmt.Errorf("open %s: %w", path.Dir(file), err)
	}
	if err := d.find(file); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) find(file string) (err error) {
	if d.fifo, err = unix.Openat(d.dir, path.Base(file), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fifo, &st); err != nil {
		return fmt.Errorf("stat %s: %w", file, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("%s is no fifo", file)
	}
	d.Major, d.Minor, d.Inode = unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino
	return nil
}

// Close lets go of both.
func (d *Dir) Close() {
	unix.Close(d.dir)
	if d.fifo >= 0 {
		unix.Close(d.fifo)
	}
}

// Init reads who the container's init is.
func (d *Dir) Init() (Init, error) {
	fd, err := unix.Openat(d.dir, stateFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Init{}, fmt.Errorf("open %s: %w", stateFile, err)
	}
	f := os.NewFile(uintptr(fd), stateFile)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return Init{}, err
	}
	return ParseState(text)
}

// Release opens the fifo for writing and closes it: a runc that waits in the open for
// reading gets the end of the file, and fails. It does not wait itself. Errors wrap
// [ErrNoReader].
//
// The fifo is never opened for reading: an init that waits would start its program.
//
// Source: fifo(7); runc libcontainer/container_linux.go, handleFifoResult.
func (d *Dir) Release() error {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(d.fifo), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ENXIO:
		return ErrNoReader
	case err != nil:
		return fmt.Errorf("open the fifo for writing: %w", err)
	}
	return unix.Close(fd)
}
