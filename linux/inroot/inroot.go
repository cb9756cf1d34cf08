// Package inroot opens what is below another root directory, as a container's is.
package inroot

import "golang.org/x/sys/unix"

// tries is how often what is uncertain is asked again: on a host that renames and
// mounts all the time most tries succeed all the same.
const tries = 100

// Open opens a path below a root directory: no link on the way, which may be
// somebody else's, leads out of it. O_CLOEXEC is set. Errors are those of openat2(2),
// ENOSYS before Linux 5.6.
//
// A mount or rename anywhere on the host while ".." is passed makes the kernel
// uncertain, which it says by EAGAIN: that is asked again.
//
// Source: openat2(2), RESOLVE_IN_ROOT; Linux 6.12 fs/namei.c, handle_dots.
func Open(root int, path string, flags uint64) (fd int, err error) {
	return openat2(root, path, flags, unix.RESOLVE_IN_ROOT)
}

// OpenBeneath is Open where a path that would lead out is refused: EXDEV.
//
// Source: openat2(2), RESOLVE_BENEATH.
func OpenBeneath(root int, path string, flags uint64) (fd int, err error) {
	return openat2(root, path, flags, unix.RESOLVE_BENEATH)
}

func openat2(root int, path string, flags, resolve uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS}
	for range tries {
		if fd, err = unix.Openat2(root, path, &how); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}
