// Package pidbudget finds limits on processes that are nearly spent.
//
// # Check pid-budget
//
// pid-budget: a limit on processes that is nearly spent, and who spends it
//
// Every thread, living or zombie, takes a number and counts against pids.max
// of its cgroup and of those above it, against kernel.pid_max and against
// kernel.threads-max. When one of them is reached fork and clone fail with
// EAGAIN: "Resource temporarily unavailable", "can't fork", "failed to create
// new OS thread", "pthread_create failed". Programs seldom say which limit.
//
// A finding is a limit of which 80 % or more is used, or that refused a fork
// between the two looks. Of the host's two limits only the lower one counts.
// A limit below 10 is taken to be chosen for a program with a known number of
// threads: only a refused fork counts there. It names the processes that use
// half of it: by their threads, their dead children, or their living children;
// else what it is spread over.
//
// The kernel counts a refused fork in the cgroup that tried it (version 1, and
// version 2 before Linux 6.11), though a cgroup above may be full. So refused
// forks are told of the fullest limit at, above or below the one that counted.
//
// Critical from 95 % on, or when a fork was refused between the looks, else warning.
//
// Sources: cgroup-v2.rst "PID"; cgroup-v1/pids.rst; proc_sys_kernel(5);
// Linux 6.12 kernel/cgroup/pids.c.
package pidbudget
