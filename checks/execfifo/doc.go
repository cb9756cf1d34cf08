// Package execfifo finds containers whose start hangs on the fifo between runc and
// its init.
//
// # Check exec-fifo
//
// exec-fifo: runc and its init wait for each other in exec.fifo
//
// The init of a container that was created opens exec.fifo for writing and waits
// there. runc start opens it for reading, and both go on. If the init has ended by
// then, as by an out-of-memory kill or a runc delete at the same moment, an old runc
// waits for ever: the shim waits for runc, containerd for the shim, and docker holds
// the container's lock: docker inspect, and until 17.10 docker ps, hang, and the
// node goes NotReady. A newer runc looks for the init while it waits
// (runc#1698: runc 1.0.0-rc5, containerd 1.0.2, docker 18.06), but still waits for ever
// if the init is alive and does not come, or if its pid and start time are another's.
//
// A finding is
//
//   - a runc that waited in the open for reading in both looks without running, or had
//     it open and waited for what the init writes, and is older than 10 s. Its cause
//     says how the init is, by the container's state.json: ended, another process,
//     stopped, frozen, or alive and elsewhere; the evidence has the versions of runc,
//     containerd and docker and whether the fix is in;
//   - an init that waited for longer than a minute to be started, with nobody who
//     starts it. One that no runtime knows was left behind.
//
// If the init has ended, the reader is let go: sexton opens the fifo for writing
// and closes it, and runc start ends with an error. Never the other side: that
// would start the container. An init that is stopped or frozen is let run on.
//
// Critical if a runc waits. Else warning for an init that its runtime does not
// know, and info for one that may be started yet (ctr, the CRI and podman create
// containers so).
//
// Sources: https://github.com/opencontainers/runc/pull/1698,
// https://github.com/containerd/containerd/issues/1882,
// https://github.com/containerd/containerd/pull/2048; Linux 6.12 fs/pipe.c, fifo_open.
package execfifo
