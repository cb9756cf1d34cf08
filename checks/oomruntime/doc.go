// Package oomruntime finds parts of a container runtime that the kernel killed for
// want of memory.
//
// # Check oom-runtime
//
// oom-runtime: an out-of-memory kill took runc, its init, a shim or a daemon
//
// runc's init is in the container's memory cgroup before the container's program
// is, and runc exec's too: a limit that is reached then kills the runtime and not
// the program. Who waits for it may wait for ever: runc start in the exec.fifo that
// the init should have opened, then the shim, containerd, and docker ps. A shim
// that is killed leaves its container without anybody who sees it end.
//
// A finding is such a kill that the kernel's log tells of, for each container and
// each part of the runtime, with what is still blocked by it: a runc that waits in
// the container's exec.fifo, other runtime processes for that container that are
// older than 30 s, processes of a container that has no shim any more. Where the
// log does not say whose init it was, that is a runc start whose init is gone.
//
// Critical if something is blocked now. Warning for a kill of the last hour
// (--since). Else info.
//
// Sources: Linux 6.12 mm/oom_kill.c; https://github.com/opencontainers/runc/pull/1698;
// https://github.com/containerd/containerd/issues/1882.
package oomruntime
