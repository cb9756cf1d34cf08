// Package nolazydetach finds kernels on which a leaked mount blocks the removal of a container.
//
// # Check no-lazy-detach
//
// no-lazy-detach: a kernel on which a directory cannot be removed while it is mounted elsewhere
//
// Since Linux 3.15 the removal of a mount point takes the mounts off it in
// every other namespace. Before that, and on RHEL 7 unless
// fs.may_detach_mounts is 1, it fails: "device or resource busy" at docker rm.
//
// A finding is such a kernel with that setting. RHEL 7 has it since 7.4.
//
// Always info: what is kept now is a finding of leaked-mount.
//
// Sources: Linux 3.15 fs/namespace.c, detach_mounts; moby#34886.
package nolazydetach
