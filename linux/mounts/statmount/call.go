package statmount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
)

// Bounds. An overlay of 500 layers, the kernel's most, has 2 MiB of options.
const (
	firstBuffer = 32 << 10
	maxBuffer   = 16 << 20
	maxMounts   = 1 << 20 // of one namespace; fs.mount-max is 100,000
	listAtOnce  = 2048
)

// ErrTooLarge is the error of an answer that passes the bounds of this package:
// 16 MiB for one mount, 1,048,576 mounts for one namespace.
var ErrTooLarge = errors.New("too large")

// A Caller makes the calls and keeps their buffers. One goroutine may use it at a time.
type Caller struct {
	buf   []byte
	page  []uint64
	words map[uint64]string // of attributes
	attr  uint64            // the last ones that were asked for, and their words
	word  string
	texts map[string]string
}

// NewCaller returns a Caller.
func NewCaller() *Caller {
	return &Caller{buf: make([]byte, firstBuffer), page: make([]uint64, listAtOnce), words: map[uint64]string{}, texts: map[string]string{}}
}

// request is struct mnt_id_req of Linux 6.11, which has the namespace.
type request struct {
	size  uint32
	fd    uint32 // of a namespace, from Linux 6.18; 0 here
	id    uint64
	param uint64
	ns    uint64
}

// List appends the unique ids of the mounts of the namespace with this id to
// ids, lowest first. With namespace 0 it lists the caller's own.
//
// Of the caller's own namespace the kernel lists only what is below the
// caller's root directory: an overmounted "/" hides the rest. To see all of it,
// call from a thread that stands in another. ENOENT: the namespace is gone;
// EPERM: it is not the caller's to see.
//
// Source: listmount(2); Linux 6.11 fs/namespace.c, do_listmount.
func (c *Caller) List(namespace uint64, ids []uint64) ([]uint64, error) {
	const fromRoot = 1<<64 - 1 // LSMT_ROOT
	return c.Below(namespace, fromRoot, ids)
}

// Below is [Caller.List] of the mounts below the one with this unique id, on it
// or on those that are.
func (c *Caller) Below(namespace, id uint64, ids []uint64) ([]uint64, error) {
	req := request{id: id, ns: namespace}
	req.size = uint32(unsafe.Sizeof(req))
	for n := 0; n < maxMounts; {
		got, _, errno := unix.Syscall6(unix.SYS_LISTMOUNT, uintptr(unsafe.Pointer(&req)), uintptr(unsafe.Pointer(&c.page[0])), uintptr(len(c.page)), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, fmt.Errorf("listmount of mount namespace %d: %w", namespace, errno)
		}
		ids = append(ids, c.page[:got]...)
		if int(got) < len(c.page) {
			return ids, nil
		}
		req.param = c.page[got-1]
		n += int(got)
	}
	return nil, fmt.Errorf("listmount of mount namespace %d: over %d mounts: %w", namespace, maxMounts, ErrTooLarge)
}

// Stat asks for the fields in mask of the mount with this unique id and puts
// them into m. It returns what the answer had, which may be less than was
// asked, and the magic number of the file system.
//
// With namespace 0 the mount is looked up in the caller's own. ENOENT: it is gone.
//
// Source: statmount(2); Linux 6.11 fs/namespace.c, do_statmount.
func (c *Caller) Stat(namespace, id uint64, mask Mask, m *mounts.Mount) (got Mask, magic uint64, err error) {
	req := request{id: id, param: uint64(mask), ns: namespace}
	req.size = uint32(unsafe.Sizeof(req))
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&req)), uintptr(unsafe.Pointer(&c.buf[0])), uintptr(len(c.buf)), 0, 0, 0)
		switch {
		case errno == 0:
			return decode(c.buf, mask, m, c)
		case errno == unix.EINTR:
		case errno == unix.EOVERFLOW && len(c.buf) < maxBuffer:
			c.buf = make([]byte, 4*len(c.buf))
		case errno == unix.EOVERFLOW:
			return 0, 0, fmt.Errorf("statmount of mount %d: over %d bytes: %w", id, maxBuffer, ErrTooLarge)
		default:
			return 0, 0, &callError{id, errno}
		}
	}
}

// options keeps the texts that were made: a host has few different ones.
func (c *Caller) options(attr uint64) string {
	if c.attr == attr && c.word != "" {
		return c.word
	}
	text, ok := c.words[attr]
	if !ok {
		text = attrText(attr)
		c.words[attr] = text
	}
	c.attr, c.word = attr, text
	return text
}

// text keeps the texts that were told: most namespaces are copies of another.
func (c *Caller) text(of []byte) string {
	text, ok := c.texts[string(of)]
	if !ok {
		text = string(of)
		c.texts[text] = text
	}
	return text
}

// A callError costs nothing until it is read: mounts vanish by the thousand.
type callError struct {
	id    uint64
	errno syscall.Errno
}

func (e *callError) Error() string { return fmt.Sprintf("statmount of mount %d: %v", e.id, e.errno) }
func (e *callError) Unwrap() error { return e.errno }

// Supported returns which fields this kernel can tell, by asking for the mount
// of this process's root directory. ENOSYS: there is no statmount (before Linux
// 6.8), or a filter hides it, as EPERM does.
//
// Source: Linux 6.15 fs/namespace.c, STATMOUNT_SUPPORTED. An older kernel says
// what it knows by what it answers.
func Supported() (Mask, error) {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/", unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		return 0, fmt.Errorf("statx of the root directory: %w", err)
	}
	if stat.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return 0, fmt.Errorf("statx has no unique mount ids: %w", unix.ENOSYS)
	}
	c := NewCaller()
	var m mounts.Mount
	got, _, err := c.Stat(0, stat.Mnt_id, Device|Basic|Root|Point|Type|Super|Subtype|Source|supported, &m)
	if err != nil {
		return 0, err
	}
	if got&supported == 0 {
		return got, nil
	}
	return Mask(binary.NativeEndian.Uint64(c.buf[atSupported:])), nil
}
