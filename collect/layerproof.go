package collect

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts/holders"
)

// Two files of two file systems may have one inode number, above all on tmpfs, which
// counts from one. So what a reference is on has to be an overlay which tells of itself
// what the layer's file system does: statfs of an overlay has the sizes of its
// upper layer's, and the id of that too, or one that is kept with the upper layer.
//
// Source: Linux 6.12 fs/overlayfs/super.c, ovl_statfs; fs/overlayfs/util.c,
// ovl_init_uuid_xattr; include/linux/statfs.h, uuid_to_fsid.

// layered are the file systems that have layers: overlay, fuse-overlayfs, aufs.
var layered = map[int64]bool{unix.OVERLAYFS_SUPER_MAGIC: true, unix.FUSE_SUPER_MAGIC: true, 0x61756673: true}

// holds reports whether an overlay with this layer can be what fs is told of.
func (all layers) holds(l *layer, fs *unix.Statfs_t) bool {
	if !layered[int64(fs.Type)] {
		return false
	}
	if fs.Fsid == l.fs.Fsid {
		return true
	}
	for i := range all {
		if all[i].kept != (unix.Fsid{}) && all[i].kept == fs.Fsid {
			return all[i].device == l.device // that is its upper layer
		}
	}
	return fs.Blocks == l.fs.Blocks && fs.Bsize == l.fs.Bsize && fs.Files == l.fs.Files // its upper layer may be none of ours
}

// stat reads what the layer's file system tells, and the id that is kept with the layer.
func (l *layer) stat() error {
	if err := unix.Fstatfs(l.fd, &l.fs); err != nil {
		return err
	}
	var uuid [16]byte
	if n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", l.fd), "trusted.overlay.uuid", uuid[:]); err == nil && n == len(uuid) {
		id := binary.LittleEndian.Uint64(uuid[:8]) ^ binary.LittleEndian.Uint64(uuid[8:])
		l.kept = unix.Fsid{Val: [2]int32{int32(id), int32(id >> 32)}}
	}
	return nil
}

// statReference reads what the file system of a reference tells; false where it cannot be asked.
func statReference(proc string, r *holders.Ref) (fs unix.Statfs_t, ok bool) {
	path := fmt.Sprintf("%s/%d", proc, r.PID)
	if r.TID != 0 {
		path += fmt.Sprintf("/task/%d", r.TID)
	}
	switch r.Kind {
	case holders.FD:
		path += fmt.Sprintf("/fd/%d", r.FD)
	case holders.Mapping:
		path += "/map_files/" + r.Range
	case holders.Cwd, holders.Root, holders.Exe:
		path += "/" + string(r.Kind)
	default:
		return fs, false
	}
	err := unix.Statfs(path, &fs)
	return fs, err == nil
}
