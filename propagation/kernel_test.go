package propagation_test

import (
	"bytes"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/propagation"
)

// Source: Linux 6.11 include/uapi/linux/mount.h.
const (
	fromRoot = ^uint64(0)             // LSMT_ROOT: all mounts of the namespace
	readMask = 0x1 | 0x2 | 0x8 | 0x10 // STATMOUNT_SB_BASIC, MNT_BASIC, MNT_ROOT, MNT_POINT
)

// A mountRequest is struct mnt_id_req.
type mountRequest struct {
	size, spare      uint32
	id, param, space uint64
}

// A mountReply is the head of struct statmount; its strings begin at byte 512.
type mountReply struct {
	size, options      uint32
	mask               uint64
	major, minor       uint32
	magic              uint64
	superFlags, kind   uint32
	id, parent         uint64
	oldID, oldParent   uint32
	attributes, types  uint64 // types: MS_SHARED and so on
	peer, master, from uint64
	rootAt, pointAt    uint32
	rest               [512 - 120]byte
}

func rawMount(call uintptr, req *mountRequest, out unsafe.Pointer, n int) (int, error) {
	r, _, errno := unix.RawSyscall6(call, uintptr(unsafe.Pointer(req)), uintptr(out), uintptr(n), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// readSpace lists the mounts of one namespace, from outside it.
func readSpace(space uint64) ([]propagation.Mount, error) {
	var ids []uint64
	page := make([]uint64, 512)
	for last := uint64(0); ; last = ids[len(ids)-1] {
		req := mountRequest{size: 32, id: fromRoot, param: last, space: space}
		n, err := rawMount(unix.SYS_LISTMOUNT, &req, unsafe.Pointer(&page[0]), len(page))
		if err != nil {
			return nil, fmt.Errorf("listmount of namespace %d: %w", space, err)
		}
		ids = append(ids, page[:n]...)
		if n < len(page) {
			break
		}
	}
	out := make([]propagation.Mount, 0, len(ids))
	buf := make([]uint64, 2048) // of words: the reply must be aligned
	for _, id := range ids {
		req := mountRequest{size: 32, id: id, param: readMask, space: space}
		if _, err := rawMount(unix.SYS_STATMOUNT, &req, unsafe.Pointer(&buf[0]), 8*len(buf)); err != nil {
			return nil, fmt.Errorf("statmount of %d: %w", id, err)
		}
		m := (*mountReply)(unsafe.Pointer(&buf[0]))
		text := unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), 8*len(buf))[512:]
		out = append(out, propagation.Mount{
			ID: id, Parent: m.parent, Namespace: space, Peer: m.peer, Master: m.master,
			Device: uint64(m.major)<<20 | uint64(m.minor), Root: cString(text[m.rootAt:]), Point: cString(text[m.pointAt:]),
			Unbindable: m.types&unix.MS_UNBINDABLE != 0,
		})
	}
	return out, nil
}

func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

// spaceID is the 64-bit id of an open mount namespace.
//
// Source: Linux 6.12 include/uapi/linux/nsfs.h, NS_MNT_GET_INFO.
func spaceID(fd int) (uint64, error) {
	const getInfo = 0x8010b70a
	info := struct {
		size, mounts uint32
		id           uint64
	}{size: 16}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getInfo, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return 0, fmt.Errorf("NS_MNT_GET_INFO: %w", errno)
	}
	return info.id, nil
}

// spaceInode is what a namespace goes by where it has no id.
func spaceInode(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("stat of a namespace: %w", err)
	}
	return st.Ino, nil
}

// mountOf is the mount that an open file is on, by the same ids as the tables.
func (h *host) mountOf(fd int) (uint64, error) {
	var st unix.Statx_t
	mask := unix.STATX_MNT_ID_UNIQUE
	if h.classic {
		mask = unix.STATX_MNT_ID
	}
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &st); err != nil {
		return 0, fmt.Errorf("statx: %w", err)
	}
	return st.Mnt_id, nil
}

// mountAt is the mount that a path leads to, 0 if it leads nowhere.
func (h *host) mountAt(path string) uint64 {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	id, err := h.mountOf(fd)
	if err != nil {
		return 0
	}
	return id
}
