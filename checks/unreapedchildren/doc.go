// Package unreapedchildren finds parents that leave their children dead.
//
// # Check unreaped-children
//
// unreaped-children: a parent that leaves its children dead, and why
//
// A process that has ended keeps its entry in the process table, state Z,
// until its parent calls wait(2). Such a zombie holds no memory, but its pid,
// and it counts against pids.max of its cgroup. When that or kernel.pid_max is
// reached nothing can be started: no request handler, no health probe, no
// docker exec. A zombie still answers kill -0 and stands in ps, so whoever
// watches a pid file or polls with kill -0 takes it for alive.
//
// A finding is a parent with at least one child that was dead, and its child,
// in two looks. A parent that reaps within the interval between them is none.
// The finding says
//
//   - who the parent is: the container's PID 1, another process in it, the
//     host's own init, a kernel thread; or that it is outside of the PID
//     namespace that sexton sees;
//   - why it does not reap: SIGCHLD at its default and nobody waits, caught
//     but not waited for, blocked, ignored too late, or the parent is stopped,
//     held by a debugger, frozen, or blocked itself without having run between
//     the looks;
//   - where the dead come from: children that it started, or orphans that it
//     was given by docker exec, a health probe or cron. A child inherits its
//     parent's session, so one in a session that is neither the parent's nor
//     its own was adopted. A child of another thread than the first was
//     started there. Children are listed in the order in which they became the
//     parent's, so one that started before its predecessor in the list was
//     probably adopted too: if the parent has one thread, and had no other
//     one that ended. PID 1 is also given orphans of its own session, by
//     children of it that ended: nothing tells those from its children;
//   - how many, since when, how fast they grow and when that reaches a limit.
//     The kernel does not record when a process died: the age is that of its
//     start, the most it can be. A rate is that of starts, and given only if
//     they come steadily.
//
// An init helps only against adopted orphans: run the container with
// docker run --init, with sexton-init as its entrypoint, or the pod with
// shareProcessNamespace. A program that leaves its own children dead must be
// mended; an init in front of it reaps none of them.
//
// Critical when a limit is spent by them or will be within the hour, info when
// the parent's container is paused on purpose, else warning.
//
// Sources: wait(2), signal(7), setsid(2), proc_pid_stat(5), proc_tid_children(5);
// Linux 6.12 kernel/exit.c, forget_original_parent.
package unreapedchildren
