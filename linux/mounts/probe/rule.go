package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/nsfs"
)

// ErrRule is the error of a kernel that does neither.
var ErrRule = errors.New("this kernel unmounts by neither of the two rules that are known")

// Older reports whether this kernel unmounts by the rule before Linux 6.17. It
// makes the smallest case in which the two differ, in two mount namespaces made
// for it, which end with the call: nothing that is mounted there reaches the host.
// Until then they keep a copy of each private mount of the host in use.
//
// A tmpfs p with another on p/v, in both namespaces, and in the second one more on
// p/v. The first unmounts p with all below. The second's p/v goes, and what was on
// it comes to lie on its p. The older rule takes the second's p as well; the newer
// one leaves it, since it has something mounted in it.
//
// proc is where /proc is. It needs CAP_SYS_ADMIN and CAP_SYS_CHROOT.
//
// Source: Linux 6.1 and 6.18 fs/pnode.c, propagate_umount; 6.18
// Documentation/filesystems/propagate_umount.txt.
func Older(proc string) (older bool, err error) {
	own, err := openNamespace(unix.AT_FDCWD, filepath.Join(proc, "thread-self/ns/mnt"))
	if err != nil {
		return false, err
	}
	defer unix.Close(own)
	files, err := unix.Open(proc, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: proc, Err: err}
	}
	defer unix.Close(files)
	err = nsfs.Inside(own, func() error { // for its thread, which ends
		older, err = unmountTwoSided(files)
		return err
	})
	return older, err
}

func openNamespace(dir int, path string) (int, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// unmountTwoSided makes the case below a tmpfs on /proc, which is on every host.
// files is the directory of /proc, which the tmpfs covers.
func unmountTwoSided(files int) (older bool, err error) {
	const base, p, v = "/proc", "/proc/p", "/proc/p/v"
	first, second := -1, -1
	defer func() { unix.Close(first); unix.Close(second) }()
	var kept, over uint64
	for _, act := range []struct {
		what string
		do   func() error
	}{
		{"make a mount namespace", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"make it a slave of the host's", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") }},
		{"mount a tmpfs", func() error { return tmpfs(base) }},
		{"make it shared", func() error { return unix.Mount("", base, "", unix.MS_SHARED, "") }},
		{"mount p", func() error { return errors.Join(os.Mkdir(p, 0o700), tmpfs(p)) }},
		{"mount p/v", func() error { return errors.Join(os.Mkdir(v, 0o700), tmpfs(v)) }},
		{"open the first", func() error { first, err = openNamespace(files, "thread-self/ns/mnt"); return err }},
		{"make the second", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"open the second", func() error { second, err = openNamespace(files, "thread-self/ns/mnt"); return err }},
		{"make p/v private", func() error { return unix.Mount("", v, "", unix.MS_PRIVATE, "") }},
		{"mount over p/v", func() error { return tmpfs(v) }},
		{"look at both", func() error { return errors.Join(device(p, &kept), device(v, &over)) }},
		{"go back to the first", func() error { return unix.Setns(first, unix.CLONE_NEWNS) }},
		{"unmount p", func() error { return unix.Unmount(p, unix.MNT_DETACH) }},
		{"go to the second", func() error { return unix.Setns(second, unix.CLONE_NEWNS) }},
	} {
		if err := act.do(); err != nil {
			return false, fmt.Errorf("%s: %w", act.what, err)
		}
	}
	var now uint64
	if err := device(p, &now); err != nil {
		return false, err
	}
	switch now {
	case kept:
		return false, nil
	case over:
		return true, nil
	}
	return false, ErrRule
}

func tmpfs(at string) error { return unix.Mount("sexton", at, "tmpfs", 0, "size=64k,mode=700") }

func device(at string, to *uint64) error {
	var st unix.Stat_t
	err := unix.Stat(at, &st)
	*to = st.Dev
	return err
}
