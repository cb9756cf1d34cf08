// What the entries of all architectures share; entry_linux.go has the figures and the reasons.

#define EAGAIN      -11
#define ENOMEM      -12
#define ANONYMOUS   0x4022      // MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
#define READWRITE   3           // PROT_READ | PROT_WRITE
#define WAIT        0           // FUTEX_WAIT, as the kernel wakes at a thread's end
#define WAIT_OURS   128         // FUTEX_WAIT_PRIVATE
#define WAKE_OURS   129         // FUTEX_WAKE_PRIVATE
#define STDERR      2
#define CANNOT_TELL 4           // cli.CantTell
#define HIDDEN      0x5f5f      // "__", with which the hidden commands begin

// CLONE_ VM FS FILES SIGHAND THREAD SYSVSEM, as the runtime has them, and
// PARENT_SETTID CHILD_CLEARTID: a thread's word is its id until it has ended.
#define THREAD      0x350f00

// One word for the gate that holds the threads, then one for each of them.
#define WORDS(n)    (4*(1+(n)))
GLOBL words<>(SB), NOPTR, $WORDS(const_threads)

DATA gomaxprocs<>+0(SB)/16, $"GOMAXPROCS=2"
GLOBL gomaxprocs<>(SB), RODATA|NOPTR, $16

#define THREADSLEN  231
DATA nothreads<>+0(SB)/THREADSLEN, $"sexton: cannot start: no room for its threads: pids.max of this cgroup, kernel.pid_max, kernel.threads-max or RLIMIT_NPROC (ulimit -u) is used up\n  try: end something first, or leave this cgroup: systemd-run --scope sexton COMMAND\n"
GLOBL nothreads<>(SB), RODATA|NOPTR, $THREADSLEN

#define MEMORYLEN   260
DATA nomemory<>+0(SB)/MEMORYLEN, $"sexton: cannot start: no room for its memory: RLIMIT_AS (ulimit -v) leaves less than 1.8 GiB of addresses, of which little is used, or RLIMIT_DATA (ulimit -d) or the host less than 64 MiB\n  try: ulimit -v unlimited; ulimit -d unlimited; or end something first\n"
GLOBL nomemory<>(SB), RODATA|NOPTR, $MEMORYLEN
