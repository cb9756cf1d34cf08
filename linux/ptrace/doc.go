// Package ptrace reaps dead children in place of a parent that does not: it
// makes one of the parent's threads call waitid(2) for each of them.
//
// Nobody but the parent can reap, so the call must be made in it. A thread that
// sleeps in a system call is stopped, waitid is run where that call was, and the
// registers are put back; the kernel then starts the call again as it does after
// any stop. The program sees nothing of it, and its memory is never written.
//
// It is built so that the death of the injector at any moment, by SIGKILL too,
// costs at most that one call an early return of 0, which is what waitid
// returned: so a thread in futex, nanosleep, poll, pause is taken before one in
// epoll_wait, and that before one in read, for which 0 is the end of the file.
// Only of a thread that is in no system call are the registers lost then; it is
// taken when there is no other. Hence no single step (its pending trap would
// kill the parent), no change of the signal mask (it would stay changed), no
// PTRACE_O_EXITKILL.
//
// [Reap] runs in a process of its own. It gives away capabilities, and what it
// cannot detach from is free when that process ends.
//
// On arm64 the package was built and not run: an emulator of user programs has no
// ptrace. It takes fewer threads there, see calls_arm64.go.
//
// Source: ptrace(2), waitid(2), signal(7); Linux 6.12 kernel/ptrace.c,
// kernel/signal.c, kernel/exit.c, arch/x86/kernel/signal.c, arch/arm64/kernel/signal.c.
package ptrace
