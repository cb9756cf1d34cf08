// Process 1 from its first instruction to its last: no Go runtime, no heap, one
// page of text and one of stack. It waits for signals and children with raw system
// calls, forwards, reaps, and leaves with the main child's status. Whatever needs
// thought it asks of the Go program, which it runs as a child from its own binary:
// see plan.go for the questions and the answers.
//
// Every signal is blocked from the first instructions on, so none acts by itself
// and none is lost. No calls; all state is a struct state on the stack.
//
// R12 envp, R13 (ST) the state, R14 the Go child (0: none), R15 argc and argv, BX why Go is asked.

#include "textflag.h"
#include "go_asm.h"
#include "entry_linux.h"

#define ST R13
#define ACTION ACTIONS(ST)(BX*1)

#define SYS(n) MOVL $n, AX; SYSCALL
#define read 0
#define write 1
#define close 3
#define munmap 11
#define rt_sigaction 13
#define rt_sigprocmask 14
#define socketpair 53
#define clone 56
#define execve 59
#define exit 60
#define wait4 61
#define madvise 28
#define kill 62
#define chdir 80
#define rt_sigtimedwait 128
#define prctl 157
#define timer_create 222
#define timer_settime 223
#define exit_group 231
#define prlimit64 302
#define close_range 436

TEXT sexton_entry(SB),NOSPLIT|NOFRAME,$0-0
	PCALIGN $2048                   // it is shorter: one page
	ORQ  $-1, AX                    // First of all, nothing can be lost any more.
	MOVQ AX, -8(SP)
	MOVL $SIG_SETMASK, DI
	LEAQ -8(SP), SI
	LEAQ -16(SP), DX
	MOVL $SIGSET, R10
	SYS(rt_sigprocmask)
	MOVQ -16(SP), BX                // what was blocked before
	MOVQ 8(SP), AX                  // argv[0]
	TESTQ AX, AX
	JZ   unmarked
	MOVQ $GOMARK, CX
	CMPQ CX, (AX)
	JEQ  runtime                    // we are a Go child: all is blocked as it was
unmarked:

	MOVQ SP, R15                    // argc, argv.., 0, envp.., 0, auxv.., 0
	SUBQ $FRAMELEN, SP
	MOVQ SP, DI                     // all of the frame is 0
	XORL AX, AX
	MOVL $(FRAMELEN/8), CX
	CLD
	REP; STOSQ
	LEAQ STATE(SP), ST
	XORL R14, R14
	ORQ  $-1, AX
	MOVQ AX, STATUS
	MOVQ AX, ALL(SP)
	MOVQ BX, MASK

	MOVL $PR_GET_CHILD_SUBREAPER, DI
	LEAQ ADOPTS, SI
	SYS(prctl)
	MOVL $PR_SET_CHILD_SUBREAPER, DI // for when we are not process 1
	MOVL $1, SI
	SYS(prctl)

	MOVQ $const_magic, AX
	MOVQ AX, MAGIC
	MOVL $255, CX                   // each exit code is itself until a plan says otherwise
same:
	MOVB CX, REMAP(CX*1)
	DECL CX
	JGE  same

	MOVL $SIGRTMAX, BX              // Which signals are ignored? The runtime forgets.
asked:
	MOVQ BX, DI
	XORL SI, SI
	LEAQ INFO(SP), DX
	MOVL $SIGSET, R10
	SYS(rt_sigaction)
	CMPQ INFO(SP), $SIG_IGN
	JNE  heeded
	LEAQ -1(BX), CX
	BTSQ CX, IGNORED
heeded:
	DECQ BX
	JNZ  asked
	MOVQ BX, INFO(SP)               // SIG_DFL: ignored, SIGCHLD would leave no status behind
	MOVL $SIGCHLD, DI
	LEAQ INFO(SP), SI
	XORL DX, DX
	SYS(rt_sigaction)

	XORL DI, DI
	MOVL $RLIMIT_NOFILE, SI
	XORL DX, DX
	LEAQ NOFILE, R10
	SYS(prlimit64)

	MOVQ $PROC_SE, AX               // names that outlive the binary's pages
	MOVQ AX, PROCEXE(SP)
	MOVQ $LF_EXE, AX
	MOVQ AX, 8+PROCEXE(SP)
	MOVB $'/', ROOT(SP)
	MOVQ $GOMAXPRO, AX              // one P is enough for a Go child, and starts sooner
	MOVQ AX, PROCS(SP)
	MOVQ $CS_01, AX
	MOVQ AX, 8+PROCS(SP)
	MOVQ 0(R15), CX
	MOVQ CX, ARGC(SP)
	LEAQ 16(R15)(CX*8), R12         // R12 = envp
	MOVQ R12, SI
environment:
	MOVQ (SI), DX
	ADDQ $8, SI
	TESTQ DX, DX
	JZ   auxiliary
	MOVQ PROCS(SP), AX
	CMPQ AX, (DX)
	JNE  environment
	MOVB $0, PROCS(SP)              // it has its own
	JMP  environment
auxiliary:
	MOVQ (SI), AX
	TESTQ AX, AX
	JZ   bare
	ADDQ $16, SI
	CMPQ AX, $AT_EXECFN
	JNE  auxiliary
	MOVQ -8(SI), AX
	MOVQ AX, PATH(SP)
	CMPB PROCS(SP), $0
	JEQ  first
	ADDQ $2, CX                     // Put it before envp: argc and argv go down by two
	MOVQ R15, SI                    // words, one for alignment.
	SUBQ $16, R15
	SUBQ $16, R12
	MOVQ R15, DI
	REP; MOVSQ
first:
	MOVQ $const_whyStart, BX
	JMP  ask

bare:                                   // a kernel without AT_EXECFN
	MOVB $0, PROCS(SP)
plain:                                  // Be the Go loop, as we came.
	LEAQ MASK, SI                   // the first of what we were given
	LEAQ ·inherited+0(SB), DI
	MOVL $(GIVENLEN/8), CX
	REP; MOVSQ
	INCQ (DI)                       // found
	MOVL $SIG_SETMASK, DI
	LEAQ MASK, SI
	XORL DX, DX
	MOVL $SIGSET, R10
	SYS(rt_sigprocmask)
	MOVQ ARGC(SP), AX
	MOVQ AX, 0(R15)
	CMPB PROCS(SP), $0
	JEQ  unnamed
	LEAQ procs<>(SB), AX
	MOVQ AX, 0(R12)
	MOVQ AX, 8(R12)
unnamed:
	MOVQ R15, SP
	XORL DX, DX                     // no function to call at exit
runtime:
	JMP  _rt0_amd64_linux(SB)

started:                                // Go makes the main child and says which it is.
	MOVL OURS(SP), DI
	LEAQ PLANAT, SI
	MOVL $PLANLEN, DX
	SYS(read)
	MOVQ AX, BX
	CMPQ BX, $PLANLEN
	JNE  over
	TESTB $(const_flagPlain|const_flagAgain), FLAGS
	JZ   settle
over:                                   // No main child yet, or none at all.
	MOVQ R14, DI
	LEAQ WSTAT(SP), SI
	XORL DX, DX
	XORL R10, R10
	SYS(wait4)
	CMPQ AX, $-EINTRNO
	JEQ  over
	XORL R14, R14
	MOVL OURS(SP), DI
	SYS(close)
	MOVL WSTAT(SP), CX
	CMPQ BX, $PLANLEN
	JEQ  planned
	MOVQ CX, STATUS                 // no plan: its status is ours (--help, 127, ...)
	JMP  leave
planned:
	TESTB $const_flagPlain, FLAGS
	JNZ  plain
	MOVL $const_whyHooks, BX
	JMP  ask

settle:
	LEAQ ROOT(SP), DI               // Let go of the directory, soon: the main child may look;
	SYS(chdir)
	MOVQ $0, WOKEN                  // whatever becomes of that child, it is not asked again
	LEAQ runtime·text(SB), DI       // of every page of the binary but ours,
	ANDQ $~PAGE, DI
	LEAQ sexton_entry(SB), SI
	ANDQ $~0xfff, SI
	SUBQ DI, SI
	SYS(munmap)
	LEAQ sexton_end(SB), DI
	ADDQ $0xfff, DI
	ANDQ $~0xfff, DI
	LEAQ runtime·end(SB), SI
	ADDQ $0xfff, SI
	ANDQ $~0xfff, SI
	SUBQ DI, SI
	SYS(munmap)
	MOVL $3, DI                     // and of every descriptor but the standard ones.
	MOVL $-1, SI
	XORL DX, DX
	SYS(close_range)
	MOVL $FDS, BX
	TESTQ AX, AX
	JZ   closed
one:
	MOVQ BX, DI
	SYS(close)
	DECQ BX
	CMPQ BX, $3
	JGE  one
closed:
	MOVQ R12, SI                    // Our frame, argv and envp move up to the strings, where
pointers:                               // they may share a page, and the rest of the stack goes.
	ADDQ $8, SI
	CMPQ -8(SI), $0
	JNE  pointers
	MOVQ 8(R15), BX                 // argv[0] is the lowest string
	SUBQ SI, BX
	ANDQ $~15, BX
	JLE  moved
	MOVQ SI, CX
	SUBQ SP, CX
	SHRQ $3, CX
	SUBQ $8, SI
	LEAQ (SI)(BX*1), DI
	STD
	REP; MOVSQ
	CLD
	MOVQ SP, DI
	ADDQ BX, SP
	ADDQ BX, R12
	ADDQ BX, R13
	ADDQ BX, R15
	ANDQ $~0xfff, DI
	MOVQ SP, SI
	ANDQ $~0xfff, SI
	SUBQ DI, SI
	MOVL $MADV_DONTNEED, DX
	SYS(madvise)
moved:
	MOVQ PATH(SP), AX
	CMPB (AX), $'/'
	JEQ  absolute
	LEAQ PROCEXE(SP), AX            // a path from where we were leads elsewhere now
	MOVQ AX, PATH(SP)
absolute:
	MOVL $PR_SET_PDEATHSIG, DI
	MOVQ DEATH, SI
	SYS(prctl)
	TESTB $const_flagNoReaper, FLAGS
	JZ   reaper
	MOVL $PR_SET_CHILD_SUBREAPER, DI
	XORL SI, SI
	SYS(prctl)
reaper:
	CMPQ TICK, $0
	JEQ  reap
	XORL R10, R10
	MOVQ R10, INFO(SP)              // struct sigevent: SIGEV_SIGNAL
	MOVL $const_ourSignal, AX
	MOVQ AX, 8+INFO(SP)
	MOVL $CLOCK_MONOTONIC, DI
	LEAQ INFO(SP), SI
	LEAQ TIMER(SP), DX
	SYS(timer_create)
	TESTQ AX, AX
	JNZ  reap                       // forbidden here: no ticks
	MOVQ TICK, AX
	MOVQ AX, INFO(SP)               // struct itimerspec: interval, value
	MOVQ R10, 8+INFO(SP)
	MOVQ AX, 16+INFO(SP)
	MOVQ R10, 24+INFO(SP)
	MOVL TIMER(SP), DI
	XORL SI, SI
	LEAQ INFO(SP), DX
	SYS(timer_settime)

reap:                                   // ---- at rest: reap, wait, send ----
	ORQ  $-1, DI
	LEAQ WSTAT(SP), SI
	MOVL $WNOHANG, DX
	XORL R10, R10
	SYS(wait4)
	TESTQ AX, AX
	JZ   living
	JLT  nobody                     // ECHILD
	MOVL WSTAT(SP), CX
	CMPQ AX, R14
	JEQ  answered
	INCQ REAPED
	CMPQ AX, MAIN
	JNE  reap
	MOVQ CX, STATUS
	MOVQ TARGET, DI
	XORL AX, AX
	MOVQ AX, MAIN                   // its number may be given out again
	MOVQ AX, TARGET
	TESTB $const_flagTermGroup, FLAGS
	JZ   reap
	MOVBLZX (ACTIONS+SIGTERM)(ST), SI // as it is rewritten; 0 does nothing
	ANDL $~const_askGo, SI
	SYS(kill)
	JMP  reap

nobody:
	CMPQ STATUS, $0
	JLT  wait                       // a pause: nobody ever was
	TESTB $const_flagFinish, FLAGS
	JNZ  left
	TESTB $const_flagOwn, FLAGS     // no child, but somebody may have come by setns
	JZ   leave
	TESTB $const_flagDrain, FLAGS
	JZ   leave
	ORQ  $-1, DI
	XORL SI, SI
	SYS(kill)
	TESTQ AX, AX
	JZ   left
	JMP  leave                      // ESRCH
living:
	CMPQ STATUS, $0
	JLT  wait                       // the main child is among them
	TESTQ R14, R14
	JNZ  wait                       // Go is at it
	TESTB $const_flagWaitAll, FLAGS
	JNZ  wait
	TESTB $(const_flagDrain|const_flagFinish), FLAGS
	JZ   leave
left:
	MOVL $const_whyLeft, BX
	JMP  ask

wait:
	LEAQ ALL(SP), DI
	LEAQ INFO(SP), SI
	XORL DX, DX                     // no timeout
	MOVL $SIGSET, R10
	SYS(rt_sigtimedwait)
	CMPQ AX, $SIGCHLD
	JEQ  reap
	MOVQ AX, BX
	TESTQ BX, BX
	JLT  wait                       // EINTR: we were stopped, or traced
	CMPL SI_CODE+INFO(SP), $SI_TIMER
	JNE  signal
	MOVL $const_whyTicked, BX
	JMP  ask
signal:
	MOVBLZX ACTION, SI
	TESTL $const_askGo, SI
	JNZ  ask
send:                                   // SI = what to send, 0: nothing
	TESTL SI, SI
	JZ   wait
	MOVQ TARGET, DI
	TESTQ DI, DI                    // kill(0) would be our own group
	JZ   wait
	SYS(kill)
	JMP  reap                       // we may have come from its midst

ask:                                    // ---- run Go because of BX ----
	TESTQ R14, R14
	JNZ  pass
	MOVQ BX, WOKEN
	MOVQ $0, ERRNO
	MOVL $SOCK_STREAM, SI
	TESTQ BX, BX
	JLT  pair                       // to start, it must be waited for
	ORL  $O_NONBLOCK, SI            // an answer is there at the end or not
pair:
	MOVL $AF_UNIX, DI
	XORL DX, DX
	LEAQ OURS(SP), R10
	SYS(socketpair)
	TESTQ AX, AX
	JLT  alone
	MOVL OURS(SP), DI
	MOVQ ST, SI
	MOVL $STATELEN, DX
	SYS(write)
	MOVQ $GOMARK, AX                // argv: the mark in the place of argc, then ours
	MOVQ AX, NAME(SP)
	MOVL THEIRS(SP), AX
	SHLL $8, AX
	ORL  OURS(SP), AX               // theirs ours, a byte each, to nibbles
	MOVL AX, CX
	SHLL $12, CX
	ORL  CX, AX                     // right for descriptors below 256
	ANDL $0x0f0f0f0f, AX
	ADDL $0x61616161, AX            // 'a' and up
	MOVL AX, LETTERS(SP)
	LEAQ NAME(SP), AX
	MOVQ AX, 0(R15)
	CMPB PROCS(SP), $0
	JEQ  named
	LEAQ PROCS(SP), AX
	MOVQ AX, 0(R12)
	MOVQ AX, 8(R12)
named:
	MOVL $SIGCHLD, DI               // At first it can be a copy of us, which costs less than
	CMPQ BX, $const_whyStart        // to execute: the binary is all there.
	JEQ  make
	MOVL $VFORK, DI                 // Later we sleep until it has executed; it shares this
make:                                   // stack and leaves it alone.
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYS(clone)
	TESTQ AX, AX
	JZ   child
	MOVQ AX, R14
	MOVL THEIRS(SP), DI
	SYS(close)
	TESTQ R14, R14
	JLT  notmade                    // EAGAIN: pids.max
	CMPQ ERRNO, $0
	JNE  notmade                    // its end is reaped with the others'
	TESTQ BX, BX
	JLT  started
	JMP  reap                       // SIGCHLD of others may have been taken

child:
	CMPQ BX, $const_whyStart
	JEQ  copy
	MOVQ PATH(SP), DI
	MOVQ R15, SI
	MOVQ R12, DX
	SYS(execve)
	LEAQ PROCEXE(SP), DI            // deleted since, or reached by a path that is closed to us
	SYS(execve)
	MOVQ AX, ERRNO
	MOVL $NOEXEC, DI
	SYS(exit)

copy:                                   // The runtime's stack begins below our frame, where its
	MOVL ARGC(SP), DI               // name is; argv is one longer by that.
	INCL DI
	MOVQ R15, SI
	JMP  runtime·rt0_go(SB)

notmade:
	XORL R14, R14
	MOVL OURS(SP), DI
	SYS(close)
alone:                                  // Go cannot run: do what a plain init does.
	CMPQ BX, $const_whyStart
	JEQ  plain
	CMPQ BX, $const_whyLeft
	JEQ  leave
	CMPQ BX, $const_whyHooks
	JEQ  nogo
	CMPQ BX, $const_whyBegin
	JEQ  nogo
	CMPQ BX, $SIGRTMAX
	JGT  reap                       // a tick
	MOVBLZX ACTION, SI
	ANDL $~const_askGo, SI
	JMP  send

pass:                                   // Go runs already: tell it.
	CMPQ BX, $SIGRTMAX
	JGT  wait                       // a tick
	LEAQ -1(BX), CX
	BTSQ CX, NEXT
	MOVQ R14, DI
	MOVL $const_ourSignal, SI
	SYS(kill)
	JMP  wait

answered:                               // The Go child ended with CX.
	XORL R14, R14
	MOVL CX, BX
	MOVL OURS(SP), DI
	LEAQ ANSWERAT, SI
	MOVL $ANSWERLEN, DX
	SYS(read)
	MOVL OURS(SP), DI
	SYS(close)
	MOVQ LEAVE, DI
	ANDL $~const_leaving, DI
	CMPQ LEAVE, $0
	JNE  out
	MOVL BX, CX
	MOVQ WOKEN, BX
	TESTQ BX, BX
	JZ   heard                      // it made the main child
	TESTL CX, CX
	JZ   heard
	INCQ TRIES                      // it was killed: ask again
	CMPQ TRIES, $const_maxTries
	JLE  ask
	MOVQ $0, TRIES
	JMP  alone
heard:
	MOVQ $0, TRIES
	CMPQ BX, $const_whyHooks
	MOVQ $const_whyBegin, BX
	JEQ  ask
	BSFQ NEXT, BX                   // signals came for Go meanwhile: the lowest first
	JEQ  reap
	MOVQ NEXT, AX
	LEAQ -1(AX), CX
	ANDQ CX, AX
	MOVQ AX, NEXT
	INCQ BX
	JMP  ask

nogo:                                   // between hooks and main child: the pages are still there
	MOVL $STDERR, DI
	LEAQ cannot<>(SB), SI
	MOVL $CANNOTLEN, DX
	SYS(write)
	MOVL $NOGO, DI
	JMP  out
leave:
	MOVQ STATUS, AX
	MOVL AX, CX
	SHRL $8, CX
	ANDL $0xff, CX                  // exited: its code
	ANDL $0x7f, AX
	JZ   code
	LEAL 128(AX), CX                // killed: 128 + signal
code:
	MOVBLZX REMAP(CX*1), DI
out:
	SYS(exit_group)
	UNDEF

TEXT sexton_end(SB),NOSPLIT|NOFRAME,$0-0
	RET
