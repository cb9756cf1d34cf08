// Package halfdead finds processes whose first thread is dead while others live.
//
// # Check half-dead
//
// half-dead: a process whose first thread is dead while others live, so that nobody can reap it
//
// A process can be reaped only when all of its threads have ended. If the
// first one ends before the others, ps shows a zombie ("Zsl") that no wait(2)
// takes away: its parent may be a perfect init. When the process was told to
// end, by a signal or by exit(3), a thread is left because it is blocked in
// the kernel or held by a debugger, and a container whose PID 1 is in this
// state stays "running" or "Terminating" for as long as that lasts. When
// nobody told it to, the program ended its first thread by itself
// (pthread_exit in main) and goes on in the others; ps, kill -0 and health
// checks by process state are then mistaken about it.
//
// A finding is a process that is in this state in two looks, with at least one
// thread that lived in both. It names the threads and what they wait for.
//
// Critical when the process was told to end and a thread is blocked in the
// kernel (state D in both looks), else warning.
//
// Sources: wait(2), pthread_exit(3); Linux 6.12 kernel/exit.c, delay_group_leader;
// kernel/signal.c, zap_other_threads (an exit leaves KILL pending in the other threads).
package halfdead
