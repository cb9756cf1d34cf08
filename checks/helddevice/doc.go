// Package helddevice finds block devices that somebody else than their owner keeps in use.
//
// # Check held-device
//
// held-device: a block device whose file system is alive though its owner does not mount it
//
// rbd unmap, losetup -d, lvremove, mkfs and a volume driver's detach fail, or
// seem to succeed and lose data, while the file system of a device is still
// alive somewhere. The host's mount table says that it is not mounted.
//
// /sys/fs/TYPE/DEVICE is there as long as a file system is (ext4, xfs and few
// others have it). A finding is such a device that no owner's namespace mounts:
// another namespace does, or an open file keeps it though it is mounted nowhere.
// The device itself is never opened: that would claim it.
//
// Severity: nothing is info or critical here, else warning.
//
// Sources: Documentation/ABI/testing/sysfs-fs-ext4, sysfs-fs-xfs; gcp-pd-csi#1657,
// azuredisk-csi#3761, rook#7787.
package helddevice
