// Package hungtask finds processes that cannot run, and what they wait for.
//
// # Check hung-task
//
// hung-task: a process that cannot run: blocked in the kernel, stopped or frozen, and by what
//
// A thread in state D waits inside the kernel for a device, a file system's
// server or a lock, and does not act on signals meanwhile; only in some places
// does KILL get through. docker stop and pod deletion wait with it. If it
// holds its process's mmap_lock for write, everyone who reads that process's
// command line, maps or environment blocks as well: ps, pgrep, top -c, lsof,
// fuser and the monitoring that runs them, so that one stuck process makes a
// host look dead.
//
// A finding is
//
//   - a process with a thread in D in both looks that did not run between them
//     (its count of context switches stood still). It names the wait channel,
//     the system call and, where it is a FUSE file system, the mount and the
//     server, with that server's own state; the thin pool that is full, if pools
//     are read too, as in a whole scan; after vfork the child; for an
//     mmap_lock the process in which one is held; and what the kernel's log says
//     of the thread, if its hung task detector has seen it too;
//   - a process whose command line cannot be read within 0.3 s, in both looks:
//     its mmap_lock is held. The read is made by a child process that is then
//     killed. It is tried for processes with a thread in D and for runtimes;
//   - a process that was stopped (state T) in both looks and has no terminal
//     where somebody might have stopped it: a daemon, a shim, a FUSE server;
//   - a process that a debugger held (state t) from one look to the other;
//   - a cgroup that was frozen in both looks, or on its way to that without
//     getting there, and that no runtime calls paused. Its processes get no
//     findings, but for those that keep it from freezing.
//
// A cause that is named in one finding is not a second one. A process that
// waits for a FUSE server is in state S until a signal comes, and is found
// through its server if that is stopped.
//
// Critical when others are held up: a held mmap_lock, a part of a runtime that
// is stopped, a FUSE server that cannot answer, a process that was told to end
// and cannot. Info for what a debugger at a terminal holds. Else warning.
//
// Sources: proc_pid_stat(5), proc_pid_wchan(5), proc_pid_syscall(5), ptrace(2);
// Linux 6.12 fs/fuse/dev.c, kernel/fork.c, kernel/cgroup/legacy_freezer.c.
package hungtask
