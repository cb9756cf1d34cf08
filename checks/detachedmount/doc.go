// Package detachedmount finds file systems that only open files keep alive.
//
// # Check detached-mount
//
// detached-mount: a file system in nobody's mount table that an open file keeps alive
//
// umount -l, and rmdir of a mount point since Linux 3.15, take a mount out of all
// tables at once; the file system itself ends when the last open file, working
// directory or mapping on it does, and so does one that open_tree or fsmount
// made and nobody attached. Until then its device is in use and its space is not
// freed. grep over mountinfo and findmnt show nothing, and lsof and fuser by path
// do not either: the link reads "/" or a path below a root that is gone.
//
// A finding is a superblock that is mounted in no namespace and that a process
// refers to. It names each process once. A detached tree cannot be unmounted by
// anybody: its holder has to let go or end.
//
// Severity: nothing is info or critical here, else warning.
//
// Sources: umount(2), open_tree(2); Linux 6.12 fs/namespace.c, umount_tree,
// detach_mounts; statx(2), STATX_MNT_ID_UNIQUE.
package detachedmount
