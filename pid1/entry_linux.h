// What the entries of all architectures share: constants of the kernel's interface.

#define SIGTERM 15
#define SIGCHLD 17
#define SIGRTMAX 64
#define SIG_SETMASK 2
#define SI_TIMER -2             // si_code of a timer's signal
#define SI_CODE 8               // offset in siginfo_t
#define SIG_IGN 1
#define SIGSET 8                // bytes of a sigset_t
#define EINTRNO 4
#define AT_EXECFN 31
#define RLIMIT_NOFILE 7
#define WNOHANG 1
#define PR_SET_PDEATHSIG 1
#define PR_SET_CHILD_SUBREAPER 36
#define PR_GET_CHILD_SUBREAPER 37
#define MADV_DONTNEED 4
#define O_NONBLOCK 0x800
#define AF_UNIX 1
#define SOCK_STREAM 1
#define CLOCK_MONOTONIC 1
#define VFORK 0x4111            // CLONE_VM | CLONE_VFORK | SIGCHLD
#define NOEXEC 127              // of a child that cannot execute
#define STDERR 2
#define NOGO 125                // of an init that cannot run itself after its hooks
#define FDS 1024                // descriptors that are closed where close_range is missing

#define GOMARK 0x6f476e6f74786573  // "sextonGo"
#define PROC_SE 0x65732f636f72702f // "/proc/se"
#define GOMAXPRO 0x4f525058414d4f47 // "GOMAXPRO"
#define CS_01 0x31303d5343        // "CS=01": nobody else would put it so
#define LF_EXE 0x006578652f666c    // "lf/exe"
#define PAGE 0xffff                // the largest page of any Linux for these architectures, less 1

// State, by the compiler's offsets.
#define PLAN (state_plan)
#define ANSWER (state_plan+plan_answer)
#define PLANLEN plan__size
#define ANSWERLEN answer__size
#define STATELEN state__size
#define MAGIC   (state_magic)(ST)
#define MAIN    (PLAN+plan_main)(ST)
#define TARGET  (PLAN+plan_target)(ST)
#define FLAGS   (PLAN+plan_flags)(ST)
#define TICK    (PLAN+plan_tick)(ST)
#define DEATH   (PLAN+plan_death)(ST)
#define ACTIONS (PLAN+plan_actions-1)   // + signal
#define REMAP   (PLAN+plan_remap)(ST)   // + exit code
#define LEAVE   (ANSWER+answer_leave)(ST)
#define STATUS  (state_status)(ST)
#define REAPED  (state_reaped)(ST)
#define WOKEN   (state_woken)(ST)
#define NEXT    (state_next)(ST)
#define TRIES   (state_tries)(ST)
#define ERRNO   (state_errno)(ST)
#define GIVEN   (state_given)
#define GIVENLEN given__size
#define MASK    (GIVEN+given_mask)(ST)
#define IGNORED (GIVEN+given_ignored)(ST)
#define NOFILE  (GIVEN+given_nofile)(ST)
#define ADOPTS  (GIVEN+given_adopts)(ST)
#define PLANAT  (PLAN)(ST)
#define ANSWERAT (ANSWER)(ST)

// The frame, below what the kernel gave us.
#define WSTAT    0          // int: a wait status
#define TIMER    4          // int: the timer's id
#define ALL      8          // all signals
#define OURS     16         // int: our end of the socket to the Go child
#define THEIRS   20         // int: its end
#define NAME     24         // argv[0] of a Go child: the mark, and two letters a descriptor
#define LETTERS  32
#define ARGC     40
#define PATH     48         // our binary, as it was executed
#define PROCEXE  56         // "/proc/self/exe"
#define ROOT     72         // "/"
#define PROCS    80         // "GOMAXPROCS=01"; empty if the environment has that variable
#define INFO     96         // siginfo_t, and room for other structs of the kernel
#define STATE    224
#define FRAMELEN (224+STATELEN+16)

#define CANNOTLEN 110
DATA cannot<>+0(SB)/CANNOTLEN, $"sexton-init: cannot run itself after its hooks: no room for a process (pids.max, memory), or its file is gone\n"
GLOBL cannot<>(SB), RODATA|NOPTR, $CANNOTLEN

DATA procs<>+0(SB)/14, $"GOMAXPROCS=01\x00"
GLOBL procs<>(SB), RODATA|NOPTR, $14
