// Package hungtask finds processes that cannot run, and what they wait for.
//
// # Check hung-task
//
// hung-task: a process that cannot run: blocked in the kernel, stopped or frozen, and by what
//
// A thread in state D waits inside the kernel for a device, a file system's
// server or a lock, and does not act on signals meanwhile: kill -9 waits with
// it, and so do docker stop and pod deletion. If it holds its process's
// mmap_lock for write, everyone who reads that process's command line, maps or
// environment blocks as well: ps, pgrep, top -c, lsof, fuser and the
// monitoring that runs them, so that one stuck process makes a host look dead.
//
// A finding is
//
//   - a process with a thread in D in both looks that did not run between them
//     (its count of context switches stood still). It names the wait channel,
//     the system call and, where it is a FUSE file system, the mount and the
//     server, with that server's own state;
//   - a process whose command line cannot be read within 0.3 s: its mmap_lock is
//     held. The read is made by a child process that is then killed;
//   - a process that was stopped (state T) in both looks and has no terminal
//     where somebody might have stopped it: a daemon, a shim, a FUSE server;
//   - a cgroup that was frozen in both looks and that no runtime calls paused.
//
// A cause that is named in one finding is not a second one.
//
// Critical when others are held up: a held mmap_lock, a stopped runtime, a
// stopped FUSE server with requests waiting, a process that was killed and
// cannot die. Else warning.
//
// Sources: proc_pid_stat(5), proc_pid_wchan(5), proc_pid_syscall(5);
// Linux 6.12 fs/fuse/dev.c, kernel/cgroup/freezer.c.
package hungtask
