package heal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTrusted opens for reading a regular file that is root's or the caller's, and
// nobody else's to write. Links are not followed.
func OpenTrusted(path string) (*os.File, error) { return openRegular(path, unix.O_RDONLY, true) }

// openRegular opens a file that is there, if it is a regular one. Nothing else is
// opened: a pipe would wait, and a device may do anything.
func openRegular(path string, flags int, trusted bool) (*os.File, error) {
	at, st, err := openPath(path, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return nil, errors.New("it is a symbolic link: name the file itself")
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errors.New("it is no regular file")
	}
	if err := ours(st); trusted && err != nil {
		return nil, err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openPath opens what is at a path, be it a link, only to tell what it is. The caller closes it.
func openPath(path string, flags int) (at int, st unix.Stat_t, err error) {
	if at, err = unix.Open(path, flags|unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return -1, st, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err = unix.Fstat(at, &st); err != nil {
		unix.Close(at)
		return -1, st, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return at, st, nil
}

// ours fails for what is not root's or the caller's, or is somebody else's to write.
func ours(st unix.Stat_t) error {
	switch others := st.Mode & 0o022; {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to uid %d, and must be root's or yours", st.Uid)
	case others != 0:
		return fmt.Errorf("others may write it (mode %v): chmod go-w", fs.FileMode(st.Mode&0o777))
	}
	return nil
}
