// Package noinit finds containers whose PID 1 does not do an init's work.
//
// # Check no-init
//
// no-init: a container whose PID 1 reaps no orphans or passes no TERM on
//
// PID 1 of a container is given every orphan in it and must wait for them, and
// the kernel drops each signal that PID 1 has no handler for, TERM too. Most
// programs were not written for that place:
//
//   - one that leaves SIGCHLD at its default and is no shell reaps no orphans:
//     docker exec, a health probe or a daemonising child leave zombies;
//   - one that does not catch TERM cannot be stopped in peace: docker stop and
//     pod deletion wait out the grace period (10 s, 30 s) and then KILL it;
//   - a shell (the shell form of ENTRYPOINT and CMD, or an entrypoint script
//     without exec) and other wrappers pass no TERM to the program below them;
//   - a shell with a trap runs it only when the command in the foreground has
//     ended. Commands in the background of a script ignore INT and QUIT, which
//     shows the one from the other.
//
// A finding is such a PID 1. Known inits (tini, docker-init, dumb-init,
// catatonit, sexton-init, s6, runit, systemd, busybox init, supervisord, the
// pause container), shells that a person uses, and programs that catch both
// signals give none. A program that catches a signal is believed to act on it;
// some do not: a Go program catches SIGCHLD and reaps what it started itself,
// node without a handler of its own catches TERM and does not end as PID 1. A
// program that waits for a child may reap others too, and is believed to.
//
// Always info: a risk, or seconds lost at each stop. Dead children that are
// there now are a finding of unreaped-children.
//
// Sources: pid_namespaces(7), signal(7), bash(1) "SIGNALS".
package noinit
