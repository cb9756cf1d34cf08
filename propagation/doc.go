// Package propagation tells what a mount call does over all mount namespaces, without making it:
// which mounts an unmount takes with it, which copies it leaves behind and why, where a new mount
// will turn up. It is pure; the tables come from its caller.
//
// # The rule
//
// A mount whose parent is shared is repeated at the same directory entry of every receiver: the
// other members of the parent's peer group, the slaves of that group, and again the members and
// slaves of each slave's own group. Only the parents count. A copy may be private itself and go,
// or be a peer of the victim and stay.
//
// An unmount takes the child of each receiver at the victim's entry, unless the copy has a real
// submount that stays, or is locked under a parent that stays. A mount on the very root of
// another, an overmount, keeps nothing: it slides down to the place that is free now.
//
// # Directory entries
//
// Mounts are compared by where they sit in the superblock of their parent, not by path: the
// parent's root, then the victim's point below the parent's point. Nothing here follows symbolic
// links; a [Place] is what the kernel made of a path.
//
// # What must be in the table
//
// All mounts of all namespaces, each namespace read from outside: from inside, what is covered at
// "/" is missing. Trees that are in no namespace (of open_tree, for instance) are receivers that
// no table shows. Locks are in no interface of the kernel; [Mount.Locked] is the caller's probe or
// guess.
//
// # Kernels
//
// Linux 6.17 rewrote the unmount. [Verdict] has both answers; they differ only where a copy has an
// overmount of its own on a nested mount.
//
// Source: mount_namespaces(7); Linux Documentation/filesystems/sharedsubtree.rst and, from 6.17,
// propagate_umount.txt; fs/pnode.c and fs/namespace.c of 6.1 and 6.18, and their behaviour.
package propagation
