// Package mountflagsliverestore finds a dockerd whose next restart strands its containers' mounts.
//
// # Check mountflags-live-restore
//
// mountflags-live-restore: live-restore on a dockerd that gets a new mount namespace at each start
//
// With live-restore containers outlive the daemon. With MountFlags=slave or
// private on its unit, or another directive that gives it a mount namespace of
// its own, the daemon that is started next cannot unmount what the one before
// mounted: the removal of each container that ran at the restart fails, with
// "device or resource busy" or a layer that stays in use.
//
// A finding is a dockerd with live-restore in its flags or its file, and such a
// directive on its unit: as systemd has loaded it, which holds at the next start, or
// in its files where systemd does not tell. Where both differ, it says so. It lists the containers that run now: their
// removal would fail after a restart. The way out is to stop these containers, take
// the directive out and restart, or, for what is stranded already, to unmount the
// layers in the shims' namespace: sexton holders names it.
//
// Info while no shim is in another namespace yet, else warning.
//
// Sources: systemd.exec(5), MountFlags=; moby#35873, docs.docker.com live-restore.
package mountflagsliverestore
