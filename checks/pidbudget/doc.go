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
// A finding is a limit of which more than 80 % is used, or that refused a fork
// between the two looks. It names the processes that use most of it: by their
// threads, and by the dead children that they leave.
//
// Critical from 95 % on, or when a fork was refused between the looks, else warning.
//
// Sources: cgroup-v2.rst "PID"; cgroup-v1/pids.rst; proc_sys_kernel(5).
package pidbudget
