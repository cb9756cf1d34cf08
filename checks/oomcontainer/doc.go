// Package oomcontainer finds containers in which the kernel killed for want of memory.
//
// # Check oom-container
//
// oom-container: a container in which the kernel killed a process for want of memory
//
// When a container reaches its memory limit and nothing can be given back, the
// kernel kills the process in it that uses most. That need not be the first one:
// a worker, a child or an exec'd command is gone while the container stays Up and
// docker inspect says OOMKilled=false. When it was the first one, the container
// starts anew, and its cgroup with all counters is gone soon after.
//
// A finding is
//
//   - a container, or a pod, of which the kernel's log tells such a kill: whom it
//     hit, the limit and when, also when the cgroup is gone. One that the host's
//     own lack of memory killed is told apart;
//   - a container whose cgroup counts kills of which the log does not tell: it was
//     overwritten, or could not be read;
//   - a container that is out of memory and set to let its processes wait instead of
//     killing one (--oom-kill-disable, version 1).
//
// Kills of the runtime's own processes are oom-runtime's.
//
// Critical for processes that wait. Warning for kills of the last hour (--since)
// and for a count that grew between two looks. Else info.
//
// Sources: Linux 6.12 mm/oom_kill.c, mm/memcontrol.c; cgroup-v2.rst, memory.events;
// cgroup-v1/memory.rst, memory.oom_control; /dev/kmsg, dev-kmsg.
package oomcontainer
