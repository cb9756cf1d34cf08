// Package namespacesplit finds containers whose shim stands in another mount namespace than their daemon.
//
// # Check namespace-split
//
// namespace-split: a daemon and the shims of its containers in different mount namespaces
//
// A shim stays in the mount namespace that its daemon had when it was started.
// If the daemon is started again in another one (MountFlags, or a PrivateTmp or
// ProtectSystem on its unit, makes a new one at each start), the mounts of the
// running containers are in the old namespace and the daemon unmounts in the new
// one: "umount: not mounted", and layers that stay in use until the container ends.
//
// A finding is a daemon with a shim below it, or that was left by an earlier one
// of its kind, in another mount namespace, unless the daemon has the container's
// layer mounted, too. It names the containers.
//
// Severity: the removal of these containers is at risk now; nothing is info here, else warning.
//
// Sources: systemd.exec(5), MountFlags=; moby#35873, moby#36047.
package namespacesplit
