package holders

import (
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A place is a file in a directory that is open: the shorter the way to it, the
// less it costs. Its name ends with a NUL, as the kernel wants it: of a host's
// references there are tens of thousands, and to make a string of each name and a
// copy of that took as long as a tenth of all.
type place struct {
	dir  int
	in   string // what dir is, below /proc: "12/fd/"
	name []byte // used again for the next one: see walker.name
}

func (p place) path() string { return p.in + string(p.name[:len(p.name)-1]) }

// name makes the name of a file below the walker's /proc of two parts.
func (w *walker) name(in, base string) []byte {
	w.named = append(append(append(w.named[:0], in...), base...), 0)
	return w.named
}

// number makes the name of a file that is a number.
func (w *walker) number(n int) []byte {
	w.named = append(strconv.AppendInt(w.named[:0], int64(n), 10), 0)
	return w.named
}

// statx is statx(2), which asks no server and mounts nothing.
func statx(at place, mask int, stat *unix.Statx_t) syscall.Errno {
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(at.dir), uintptr(unsafe.Pointer(&at.name[0])), flags, uintptr(mask), uintptr(unsafe.Pointer(stat)), 0)
	return errno
}

// readlink is readlinkat(2).
func readlink(at place, buf []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(at.dir), uintptr(unsafe.Pointer(&at.name[0])), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), errno
}
