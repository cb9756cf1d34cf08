// Package mountflagsliverestore finds a dockerd whose next restart strands its containers' mounts.
//
// # Check mountflags-live-restore
//
// mountflags-live-restore: live-restore on a dockerd that gets a new mount namespace at each start
//
// With live-restore containers outlive the daemon. With MountFlags=slave or
// private on its unit, or another directive that gives it a mount namespace of
// its own, the daemon that is started next cannot reach what the one before
// mounted. What that costs the containers that ran depends on the kernel:
//
//	before 3.15, RHEL 7   their removal fails: device or resource busy
//	later                 removal works. But dockerd of today removes the directory
//	                      of each layer at its start, which takes the mount off
//	                      where the shim is: docker exec fails, until the container
//	                      is stopped and started. docker restart does not help
//
// A finding is a dockerd with live-restore in its flags or its file, and such a
// directive on its unit: as systemd has loaded it, which holds at the next start, or
// in its files where systemd does not tell. Where both differ, it says so. Without
// any directive it is a dockerd in a mount namespace that is not the host's, as
// after the directive was taken out and before the restart, or one that cannot reach
// its containers' layers, as after that restart.
//
// Info while the daemon reaches all layers: it lists the containers that run now,
// which a restart would strand. Else warning: it lists those that are stranded, by
// what fails for them. docs/mounts.md has ways out, and what became of them.
//
// Sources: systemd.exec(5), MountFlags=; moby#35873, docs.docker.com live-restore;
// moby 20.10 daemon/graphdriver/overlay2/overlay.go, Put; docs/mounts.md.
package mountflagsliverestore
