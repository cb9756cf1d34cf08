package holders

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// Why the kernel is not asked for processes, besides what /proc does not tell.
var (
	ErrFew          = errors.New("a few processes are looked at sooner")
	ErrOtherNumbers = errors.New("this is not the machine's first PID namespace")
)

// Numbered reports why the kernel's processes are not those of this /proc by number, or
// not worth to be asked for, as they are fewer than few. nil: the numbers are the same.
//
// Source: Linux 6.12 fs/proc/root.c, proc_root_getattr: the links of /proc are the processes and few more.
func Numbered(proc string, few uint64) error {
	var stat unix.Stat_t
	if err := unix.Stat(proc, &stat); err != nil {
		return &os.PathError{Op: "stat", Path: proc, Err: err}
	}
	if uint64(stat.Nlink) < few { // 32 bits on some architectures
		return ErrFew
	}
	self, err := os.Readlink(filepath.Join(proc, "self"))
	if err != nil {
		return err
	}
	if self != strconv.Itoa(os.Getpid()) {
		return ErrOtherNumbers
	}
	space := filepath.Join(proc, "self/ns/pid")
	if err := unix.Stat(space, &stat); err != nil {
		return &os.PathError{Op: "stat", Path: space, Err: err}
	}
	if stat.Ino != mounts.FirstPIDNamespace {
		return ErrOtherNumbers
	}
	return nil
}
