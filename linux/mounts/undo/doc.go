// Package undo has the system calls that free leaked mounts: an unmount in a
// foreign mount namespace, taking a mount out of its peer group, and a new
// directory under a mount point. Each does it to what it was told and to nothing
// that came to its place meanwhile, or refuses.
//
// The functions may block, as an unmount that has to write to a dead server
// does. Their caller runs them in a process that it can abandon.
//
// # Which mount an unmount hits
//
// umount2 takes a path, goes to the topmost mount there, and no flag stops it.
// What that means was tried on Linux 6.18:
//
//	/proc/self/fd/N, UMOUNT_NOFOLLOW   EINVAL: the link itself is no mount
//	/proc/self/fd/N                    EBUSY, for the descriptor uses the mount
//	/proc/self/fd/N, MNT_DETACH        that mount, however it is called by now; if it is covered, its cover
//	NAME in the parent's directory     whatever is there at that time, even while N is open on the one wanted
//	NAME, MNT_EXPIRE                   the same, but only if the same call has marked it before and none has used it since
//
// So a plain unmount holds every other mount beside the wanted one open: whichever
// a rename may bring to its name is in use then. And it is made of two calls with
// MNT_EXPIRE. After the first has marked a mount, the kernel's tables, which use no
// mount, must say that around the directory all is mounted that was before and no
// more: so the mark is on the wanted one. The second call unmounts what has the mark,
// and that is on nothing that came later. Who unmounts one of those beside meanwhile,
// some microseconds for each of them, gets EBUSY.
package undo
