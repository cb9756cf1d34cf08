// Package busymount finds mounts of ended containers that cannot be unmounted.
//
// # Check busy-mount
//
// busy-mount: a mount of a container or pod that has ended, whose unmount would fail with EBUSY
//
// The runtime or kubelet tries again and again: "device or resource busy", "target
// is busy", a pod that stays Terminating. umount fails if something is open on the
// mount, if something is mounted on it, and also if something is open on a copy of
// it in another mount namespace that the unmount would reach; fuser and lsof name
// that process only if they look by device.
//
// A finding is a mount that an owner's namespace has, of a container or pod of
// which no process lives, where the rules of the kernel say EBUSY for what is open
// now. It names who has to let go.
//
// Severity: nothing is info or critical here, else warning.
//
// Sources: umount(2); Linux 6.12 fs/pnode.c, propagate_mount_busy; containerd#11353,
// kubernetes#113426.
package busymount
