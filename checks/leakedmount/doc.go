// Package leakedmount finds mounts that outlived what they were made for.
//
// # Check leaked-mount
//
// leaked-mount: a mount that its owner has unmounted and another mount namespace still has
//
// A runtime, a kubelet or a volume driver mounts for a container and unmounts
// afterwards. Whoever got a copy of the mount table meanwhile (a unit with a
// mount namespace of its own, a container with the host's directories, unshare)
// keeps the mount if the unmount does not reach it. "device or resource busy",
// "dataset is busy", a device that cannot be detached and pods that stay
// Terminating come from that, and no mount table of the host shows it.
//
// A finding is a superblock mounted, at a place where container software mounts,
// in some namespace and in none of its owners'. Owners are the namespaces of the
// daemons, and of those that have the file system below it the one nearest to the
// first process. Why it stayed is read from the parent chain: not the mount's own
// tags decide, but whether its parent receives from the owner's.
//
// A tmpfs at such a place may be one that no owner ever had: to end its last copy is
// destructive, but for what a container or a pod had.
//
// Info are mounts that are in use and will stay behind when they are unmounted:
// one finding for each namespace that will keep them.
//
// Info for what will stay behind, else warning.
//
// Sources: mount_namespaces(7); Documentation/filesystems/sharedsubtree.rst;
// moby#34886, moby#36047, kubernetes#104785, ceph-csi#3873.
package leakedmount
