// Package privateunit finds services that keep containers' mounts.
//
// # Check private-unit
//
// private-unit: a service whose own mount namespace keeps mounts of containers
//
// PrivateTmp, ProtectSystem, ProtectHome, ReadWritePaths, MountFlags and the
// like give a service a mount namespace of its own: a copy of the host's table
// at its start. What was mounted for containers before stays in it if the
// host's unmount does not arrive there.
//
// A finding is a service with a mount of container software that its owner has
// unmounted. It names the unit, its directives as systemd has loaded them (as its
// files have them where systemd does not tell; where both differ it says so), and
// from the mount on its /tmp that PrivateTmp is one of them.
//
// A unit without any such mount gives no finding, however
// private it is. Nothing is kept: no finding, else warning.
//
// Sources: systemd.exec(5); systemd 257 src/core/namespace.c; moby#36047.
package privateunit
