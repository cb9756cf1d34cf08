package devmapper

import (
	"io"
	"os"
	"path"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NodeOf is the path of a block device's node below a host's root directory, as the
// kernel names it: dm-3, loop0. It does not look whether there is one.
//
// Source: Linux 6.12 Documentation/ABI/testing/sysfs-dev.
func NodeOf(root string, n Number) (string, error) {
	link, err := os.Readlink(path.Join("/", root, "sys/dev/block", n.String()))
	if err != nil {
		return "", err
	}
	return path.Join("/", root, "dev", strings.ReplaceAll(path.Base(link), "!", "/")), nil
}

// ReadThinDevice is [ReadThin] of a metadata device, by the path of its node, which
// must have this number. It is read around the cache, in which there may be what it
// had before, and nothing is claimed or written. It may block where the disk does.
func ReadThinDevice(node string, n Number) (all []Thin, again bool, err error) {
	f, err := os.OpenFile(node, os.O_RDONLY|unix.O_DIRECT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if err := isDevice(int(f.Fd()), n); err != nil {
		return nil, false, err
	}
	return ReadThin(io.NewSectionReader(f, 0, 1<<40))
}

// isDevice says whether an open file is the block device with this number.
func isDevice(fd int, n Number) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || unix.Major(st.Rdev) != n.Major || unix.Minor(st.Rdev) != n.Minor {
		return ErrNoNode
	}
	return nil
}

// alignedBlock is a block where reading around the cache may put it.
func alignedBlock() []byte {
	b := make([]byte, 2*metaBlock)
	off := int(-uintptr(unsafe.Pointer(&b[0])) % metaBlock)
	return b[off : off+metaBlock : off+metaBlock]
}

// A Hold keeps a mapped device open, and its number from being another's.
type Hold struct{ fd int }

// HoldDevice opens a device, by the path of its node, without claiming it. The caller closes it.
func HoldDevice(node string, n Number) (Hold, error) {
	fd, err := unix.Open(node, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Hold{}, &os.PathError{Op: "open", Path: node, Err: err}
	}
	if err := isDevice(fd, n); err != nil {
		unix.Close(fd)
		return Hold{}, err
	}
	return Hold{fd}, nil
}

// Close lets the device go. One that is to be removed is removed now, if no other has it open.
func (h Hold) Close() error { return unix.Close(h.fd) }
