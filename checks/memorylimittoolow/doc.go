// Package memorylimittoolow finds memory limits that leave no room for runc's init.
//
// # Check memory-limit-too-low
//
// memory-limit-too-low: a memory limit below what the runtime's own init needs
//
// Before the program of a container runs, runc's init is in its memory cgroup, and
// again for each exec and each exec probe. If the limit is below what that needs,
// the start fails ("unable to set memory limit"), or the kernel kills the init, at
// random and by load: see oom-runtime. docker refuses limits below 6 MiB for this;
// the kubelet, containerd and podman do not.
//
// A finding is
//
//   - a running container whose own limit is below 6 MiB;
//   - a container of which the kernel's log tells that runc's init was killed in it,
//     and whose limit is below 64 MiB.
//
// Measured: the init of runc 1.1 takes 2.3 MB where it can share its program with
// the host's, and 10 to 15 MB more where it must copy it into memory (since
// 1.0.0-rc7); the arguments and environment of the program come on top.
//
// Warning if an init was killed. Else info.
//
// Sources: https://github.com/moby/moby/pull/41168;
// https://github.com/opencontainers/runc/issues/1980; Linux 6.12 mm/memcontrol.c.
package memorylimittoolow
