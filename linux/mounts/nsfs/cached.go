package nsfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// OpenCached is [OpenCachedAt] from the root directory or the working directory.
func OpenCached(path string) (fd int, err error) { return OpenCachedAt(unix.AT_FDCWD, path) }

// OpenCachedAt opens a path below a directory of which all is in memory, as the
// folders above a mount always are: no dead server on the way can hold it up, and
// no automount wakes. The descriptor is an O_PATH one. EINVAL: before Linux 5.12.
//
// A mount or rename anywhere on the host makes one try fail with EAGAIN, as what is
// not in memory does each time.
//
// Source: openat2(2); Linux 5.12 include/uapi/linux/openat2.h, RESOLVE_CACHED.
func OpenCachedAt(dir int, path string) (fd int, err error) {
	const tries, resolveCached = 100, 0x20
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolveCached | unix.RESOLVE_NO_SYMLINKS}
	for range tries {
		if fd, err = unix.Openat2(dir, path, &how); err != unix.EAGAIN {
			break
		}
	}
	if err != nil {
		return -1, &fs.PathError{Op: "openat2", Path: path, Err: err}
	}
	return fd, nil
}
