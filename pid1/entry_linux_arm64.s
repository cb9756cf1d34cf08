// See entry_linux_amd64.s: the same steps with the same labels. SYS gives its
// result in R0.
//
// R19 why Go is asked, R20 counts, R21 envp, R22 (ST) the state, R23 (F) the
// frame, R24 the Go child (0: none), R25 argc and argv, R26 copies.

#include "textflag.h"
#include "go_asm.h"
#include "entry_linux.h"

#define ST R22
#define F R23

#define SYS(n) MOVD $n, R8; SVC $0
#define chdir 49
#define close 57
#define read 63
#define write 64
#define exit 93
#define exit_group 94
#define timer_create 107
#define timer_settime 110
#define kill 129
#define rt_sigaction 134
#define rt_sigprocmask 135
#define rt_sigtimedwait 137
#define prctl 167
#define socketpair 199
#define munmap 215
#define madvise 233
#define clone 220
#define execve 221
#define wait4 260
#define prlimit64 261
#define close_range 436

TEXT sexton_entry(SB),NOSPLIT|NOFRAME,$0-0
	MOVD $-1, R0                    // First of all, nothing can be lost any more.
	MOVD RSP, R25
	MOVD R0, -8(R25)
	MOVD $SIG_SETMASK, R0
	SUB  $8, R25, R1
	SUB  $16, R25, R2
	MOVD $SIGSET, R3
	SYS(rt_sigprocmask)
	MOVD -16(R25), R20              // what was blocked before
	MOVD 8(R25), R0                 // argv[0]
	CBZ  R0, unmarked
	MOVD (R0), R1
	MOVD $GOMARK, R2
	CMP  R1, R2
	BEQ  runtime                    // we are a Go child: all is blocked as it was
unmarked:
	MOVD RSP, R25                   // argc, argv.., 0, envp.., 0, auxv.., 0
	SUB  $FRAMELEN, RSP, F
	MOVD F, RSP                     // in two steps, which the linker's stack check leaves alone
	MOVD $FRAMELEN, R1
zero:                                   // all of the frame is 0
	SUB  $8, R1
	MOVD ZR, (F)(R1)
	CBNZ R1, zero
	ADD  $STATE, F, ST
	MOVD ZR, R24
	MOVD $-1, R0
	MOVD R0, STATUS
	MOVD R0, ALL(F)
	MOVD R20, MASK

	MOVD $PR_GET_CHILD_SUBREAPER, R0
	MOVD $ADOPTS, R1
	SYS(prctl)
	MOVD $PR_SET_CHILD_SUBREAPER, R0 // for when we are not process 1
	MOVD $1, R1
	SYS(prctl)

	MOVD $const_magic, R0
	MOVD R0, MAGIC
	MOVD $REMAP, R2
	MOVD ZR, R1                     // each exit code is itself until a plan says otherwise
same:
	MOVB R1, (R2)(R1)
	ADD  $1, R1
	CMP  $256, R1
	BNE  same

	MOVD $SIGRTMAX, R20             // Which signals are ignored? The runtime forgets.
asked:
	MOVD R20, R0
	MOVD ZR, R1
	ADD  $INFO, F, R2
	MOVD $SIGSET, R3
	SYS(rt_sigaction)
	MOVD INFO(F), R0
	CMP  $SIG_IGN, R0
	BNE  heeded
	SUB  $1, R20, R1
	MOVD $1, R0
	LSL  R1, R0
	MOVD IGNORED, R1
	ORR  R0, R1
	MOVD R1, IGNORED
heeded:
	SUB  $1, R20
	CBNZ R20, asked
	MOVD ZR, INFO(F)                // SIG_DFL: ignored, SIGCHLD would leave no status behind
	MOVD $SIGCHLD, R0
	ADD  $INFO, F, R1
	MOVD ZR, R2
	MOVD $SIGSET, R3
	SYS(rt_sigaction)

	MOVD ZR, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD ZR, R2
	MOVD $NOFILE, R3
	SYS(prlimit64)

	MOVD $PROC_SE, R0               // names that outlive the binary's pages
	MOVD R0, PROCEXE(F)
	MOVD $LF_EXE, R0
	MOVD R0, (PROCEXE+8)(F)
	MOVD $'/', R0
	MOVD R0, ROOT(F)
	MOVD $GOMAXPRO, R26             // one P is enough for a Go child, and starts sooner
	MOVD R26, PROCS(F)
	MOVD $CS_01, R0
	MOVD R0, (PROCS+8)(F)
	MOVD 0(R25), R20
	MOVD R20, ARGC(F)
	ADD  $16, R25, R21
	ADD  R20<<3, R21, R21           // R21 = envp
	MOVD R21, R1
environment:
	MOVD.P 8(R1), R2
	CBZ  R2, auxiliary
	MOVD (R2), R0
	CMP  R0, R26
	BNE  environment
	MOVB ZR, PROCS(F)               // it has its own
	B    environment
auxiliary:
	MOVD.P 16(R1), R0
	CBZ  R0, bare
	CMP  $AT_EXECFN, R0
	BNE  auxiliary
	MOVD -8(R1), R0
	MOVD R0, PATH(F)
	MOVBU PROCS(F), R0
	CBZ  R0, first
	ADD  $2, R20                    // Put it before envp: argc and argv go down by two
	MOVD R25, R1                    // words, one for alignment.
	SUB  $16, R25
	SUB  $16, R21
	MOVD R25, R2
down:
	MOVD.P 8(R1), R0
	MOVD.P R0, 8(R2)
	SUB  $1, R20
	CBNZ R20, down
first:
	MOVD $const_whyStart, R19
	B    ask

bare:                                   // a kernel without AT_EXECFN
	MOVB ZR, PROCS(F)
plain:                                  // Be the Go loop, as we came.
	MOVD $MASK, R1                  // the first of what we were given
	MOVD $·inherited(SB), R2
	MOVD $(GIVENLEN/8), R20
given:
	MOVD.P 8(R1), R0
	MOVD.P R0, 8(R2)
	SUB  $1, R20
	CBNZ R20, given
	MOVD $1, R0
	MOVD R0, (R2)                   // found
	MOVD $SIG_SETMASK, R0
	MOVD $MASK, R1
	MOVD ZR, R2
	MOVD $SIGSET, R3
	SYS(rt_sigprocmask)
	MOVD ARGC(F), R0
	MOVD R0, 0(R25)
	MOVBU PROCS(F), R0
	CBZ  R0, unnamed
	MOVD $procs<>(SB), R0
	MOVD R0, 0(R21)
	MOVD R0, 8(R21)
unnamed:
	MOVD R25, RSP
	MOVD ZR, R0                     // no function to call at exit
runtime:
	B    _rt0_arm64_linux(SB)

started:                                // Go makes the main child and says which it is.
	MOVW OURS(F), R0
	MOVD $PLANAT, R1
	MOVD $PLANLEN, R2
	SYS(read)
	MOVD R0, R20
	MOVD FLAGS, R26
	CMP  $PLANLEN, R20
	BNE  over
	TST  $(const_flagPlain|const_flagAgain), R26
	BEQ  settle
over:                                   // No main child yet, or none at all.
	MOVD R24, R0
	ADD  $WSTAT, F, R1
	MOVD ZR, R2
	MOVD ZR, R3
	SYS(wait4)
	CMN  $EINTRNO, R0
	BEQ  over
	MOVD ZR, R24
	MOVW OURS(F), R0
	SYS(close)
	MOVWU WSTAT(F), R1
	CMP  $PLANLEN, R20
	BEQ  planned
	MOVD R1, STATUS                 // no plan: its status is ours (--help, 127, ...)
	B    leave
planned:
	TST  $const_flagPlain, R26
	BNE  plain
	MOVD $const_whyHooks, R19
	B    ask

settle:
	ADD  $ROOT, F, R0               // Let go of the directory, soon: the main child may look;
	SYS(chdir)
	MOVD ZR, WOKEN                  // whatever becomes of that child, it is not asked again
	MOVD $runtime·text(SB), R0      // of every page of the binary but ours,
	AND  $~PAGE, R0
	MOVD $sexton_entry(SB), R1
	AND  $~PAGE, R1
	SUB  R0, R1
	SYS(munmap)
	MOVD $sexton_end(SB), R0
	ADD  $PAGE, R0
	AND  $~PAGE, R0
	MOVD $runtime·end(SB), R1
	SUB  R0, R1
	SYS(munmap)
	MOVD $3, R0                     // and of every descriptor but the standard ones.
	MOVD $0xffffffff, R1
	MOVD ZR, R2
	SYS(close_range)
	MOVD $FDS, R20
	CBZ  R0, closed
one:
	MOVD R20, R0
	SYS(close)
	SUB  $1, R20
	CMP  $3, R20
	BGE  one
closed:
	MOVD R21, R1                    // Our frame, argv and envp move up to the strings, where
pointers:                               // they may share a page, and the rest of the stack goes.
	MOVD.P 8(R1), R0
	CBNZ R0, pointers
	MOVD 8(R25), R20                // argv[0] is the lowest string
	SUB  R1, R20
	AND  $~15, R20
	CMP  $0, R20
	BLE  moved
	ADD  R20, R1, R2
	MOVD F, R3
up:
	MOVD.W -8(R1), R0
	MOVD.W R0, -8(R2)
	CMP  R1, R3
	BNE  up
	ADD  R20, F
	ADD  R20, R21
	ADD  R20, ST
	ADD  R20, R25
	MOVD F, RSP
	AND  $~PAGE, R3, R0
	AND  $~PAGE, F, R1
	SUB  R0, R1
	MOVD $MADV_DONTNEED, R2
	SYS(madvise)
moved:
	MOVD PATH(F), R0
	MOVBU (R0), R1
	CMP  $'/', R1
	BEQ  absolute
	ADD  $PROCEXE, F, R0            // a path from where we were leads elsewhere now
	MOVD R0, PATH(F)
absolute:
	MOVD $PR_SET_PDEATHSIG, R0
	MOVD DEATH, R1
	SYS(prctl)
	TST  $const_flagNoReaper, R26
	BEQ  reaper
	MOVD $PR_SET_CHILD_SUBREAPER, R0
	MOVD ZR, R1
	SYS(prctl)
reaper:
	MOVD TICK, R20
	CBZ  R20, reap
	MOVD ZR, INFO(F)                // struct sigevent: SIGEV_SIGNAL
	MOVD $const_ourSignal, R0
	MOVD R0, (INFO+8)(F)
	MOVD $CLOCK_MONOTONIC, R0
	ADD  $INFO, F, R1
	ADD  $TIMER, F, R2
	SYS(timer_create)
	CBNZ R0, reap                   // forbidden here: no ticks
	MOVD R20, INFO(F)               // struct itimerspec: interval, value
	MOVD ZR, (INFO+8)(F)
	MOVD R20, (INFO+16)(F)
	MOVD ZR, (INFO+24)(F)
	MOVW TIMER(F), R0
	MOVD ZR, R1
	ADD  $INFO, F, R2
	MOVD ZR, R3
	SYS(timer_settime)

reap:                                   // ---- at rest: reap, wait, send ----
	MOVD $-1, R0
	ADD  $WSTAT, F, R1
	MOVD $WNOHANG, R2
	MOVD ZR, R3
	SYS(wait4)
	CMP  $0, R0
	BEQ  living
	BLT  nobody                     // ECHILD
	MOVWU WSTAT(F), R1
	CMP  R0, R24
	BEQ  answered
	MOVD REAPED, R2
	ADD  $1, R2
	MOVD R2, REAPED
	MOVD MAIN, R2
	CMP  R0, R2
	BNE  reap
	MOVD R1, STATUS
	MOVD TARGET, R0
	MOVD ZR, MAIN                   // its number may be given out again
	MOVD ZR, TARGET
	MOVD FLAGS, R2
	TST  $const_flagTermGroup, R2
	BEQ  reap
	MOVBU (ACTIONS+SIGTERM)(ST), R1 // as it is rewritten; 0 does nothing
	AND  $0x7f, R1
	SYS(kill)
	B    reap

nobody:
	MOVD STATUS, R0
	TBNZ $63, R0, wait              // a pause: nobody ever was
	MOVD FLAGS, R2
	TST  $const_flagFinish, R2
	BNE  left
	TST  $const_flagOwn, R2         // no child, but somebody may have come by setns
	BEQ  leave
	TST  $const_flagDrain, R2
	BEQ  leave
	MOVD $-1, R0
	MOVD ZR, R1
	SYS(kill)
	CBZ  R0, left
	B    leave                      // ESRCH
living:
	MOVD STATUS, R0
	TBNZ $63, R0, wait              // the main child is among them
	CBNZ R24, wait                  // Go is at it
	MOVD FLAGS, R2
	TST  $const_flagWaitAll, R2
	BNE  wait
	TST  $(const_flagDrain|const_flagFinish), R2
	BEQ  leave
left:
	MOVD $const_whyLeft, R19
	B    ask

wait:
	ADD  $ALL, F, R0
	ADD  $INFO, F, R1
	MOVD ZR, R2                     // no timeout
	MOVD $SIGSET, R3
	SYS(rt_sigtimedwait)
	CMP  $SIGCHLD, R0
	BEQ  reap
	MOVD R0, R19
	TBNZ $63, R19, wait             // EINTR: we were stopped, or traced
	MOVW (INFO+SI_CODE)(F), R0
	CMN  $-SI_TIMER, R0
	BNE  signal
	MOVD $const_whyTicked, R19
	B    ask
signal:
	ADD  $ACTIONS, ST, R2
	MOVBU (R2)(R19), R1
	TST  $const_askGo, R1
	BNE  ask
send:                                   // R1 = what to send, 0: nothing
	CBZ  R1, wait
	MOVD TARGET, R0
	CBZ  R0, wait                   // kill(0) would be our own group
	SYS(kill)
	B    reap                       // we may have come from its midst

ask:                                    // ---- run Go because of R19 ----
	CBNZ R24, pass
	MOVD R19, WOKEN
	MOVD ZR, ERRNO
	MOVD $SOCK_STREAM, R1
	TBNZ $63, R19, pair             // to start, it must be waited for
	ORR  $O_NONBLOCK, R1            // an answer is there at the end or not
pair:
	MOVD $AF_UNIX, R0
	MOVD ZR, R2
	ADD  $OURS, F, R3
	SYS(socketpair)
	TBNZ $63, R0, alone
	MOVW OURS(F), R0
	MOVD ST, R1
	MOVD $STATELEN, R2
	SYS(write)
	MOVD $GOMARK, R0                // argv: the mark in the place of argc, then ours
	MOVD R0, NAME(F)
	MOVWU OURS(F), R0
	MOVWU THEIRS(F), R1
	ORR  R1<<8, R0, R0              // theirs ours, a byte each, to nibbles
	ORR  R0<<12, R0, R0             // right for descriptors below 256
	AND  $0x0f0f0f0f, R0, R0
	MOVD $0x61616161, R1            // 'a' and up
	ADD  R1, R0
	MOVW R0, LETTERS(F)
	ADD  $NAME, F, R0
	MOVD R0, 0(R25)
	MOVBU PROCS(F), R0
	CBZ  R0, named
	ADD  $PROCS, F, R0
	MOVD R0, 0(R21)
	MOVD R0, 8(R21)
named:
	MOVD $SIGCHLD, R0               // At first it can be a copy of us, which costs less than
	CMP  $const_whyStart, R19       // to execute: the binary is all there.
	BEQ  make
	MOVD $VFORK, R0                 // Later we sleep until it has executed; it shares this
make:                                   // stack and leaves it alone.
	MOVD ZR, R1
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	SYS(clone)
	CBZ  R0, child
	MOVD R0, R24
	MOVW THEIRS(F), R0
	SYS(close)
	TBNZ $63, R24, notmade          // EAGAIN: pids.max
	MOVD ERRNO, R0
	CBNZ R0, notmade                // its end is reaped with the others'
	TBNZ $63, R19, started
	B    reap                       // SIGCHLD of others may have been taken

child:
	CMP  $const_whyStart, R19
	BEQ  copy
	MOVD PATH(F), R0
	MOVD R25, R1
	MOVD R21, R2
	SYS(execve)
	ADD  $PROCEXE, F, R0            // deleted since, or reached by a path that is closed to us
	MOVD R25, R1
	MOVD R21, R2
	SYS(execve)
	MOVD R0, ERRNO
	MOVD $NOEXEC, R0
	SYS(exit)

copy:                                   // The runtime's stack begins below our frame, where its
	MOVD ARGC(F), R0                // name is; argv is one longer by that.
	ADD  $1, R0
	MOVD R25, R1
	B    runtime·rt0_go(SB)

notmade:
	MOVD ZR, R24
	MOVW OURS(F), R0
	SYS(close)
alone:                                  // Go cannot run: do what a plain init does.
	CMP  $const_whyStart, R19
	BEQ  plain
	CMP  $const_whyLeft, R19
	BEQ  leave
	CMP  $const_whyHooks, R19
	BEQ  nogo
	CMP  $const_whyBegin, R19
	BEQ  nogo
	CMP  $SIGRTMAX, R19
	BGT  reap                       // a tick
	ADD  $ACTIONS, ST, R2
	MOVBU (R2)(R19), R1
	AND  $0x7f, R1
	B    send

pass:                                   // Go runs already: tell it.
	CMP  $SIGRTMAX, R19
	BGT  wait                       // a tick
	SUB  $1, R19, R1
	MOVD $1, R0
	LSL  R1, R0
	MOVD NEXT, R1
	ORR  R0, R1
	MOVD R1, NEXT
	MOVD R24, R0
	MOVD $const_ourSignal, R1
	SYS(kill)
	B    wait

answered:                               // The Go child ended with R1.
	MOVD ZR, R24
	MOVD R1, R20
	MOVW OURS(F), R0
	MOVD $ANSWERAT, R1
	MOVD $ANSWERLEN, R2
	SYS(read)
	MOVW OURS(F), R0
	SYS(close)
	MOVD LEAVE, R0
	CBZ  R0, going
	AND  $0xff, R0
	B    out
going:
	MOVD WOKEN, R19
	CBZ  R19, heard                 // it made the main child
	CBZ  R20, heard
	MOVD TRIES, R0                  // it was killed: ask again
	ADD  $1, R0
	MOVD R0, TRIES
	CMP  $const_maxTries, R0
	BLE  ask
	MOVD ZR, TRIES
	B    alone
heard:
	MOVD ZR, TRIES
	CMP  $const_whyHooks, R19
	MOVD $const_whyBegin, R19
	BEQ  ask
	MOVD NEXT, R0                   // signals came for Go meanwhile: the lowest first
	CBZ  R0, reap
	RBIT R0, R1
	CLZ  R1, R1
	SUB  $1, R0, R2
	AND  R2, R0
	MOVD R0, NEXT
	ADD  $1, R1, R19
	B    ask

nogo:                                   // between hooks and main child: the pages are still there
	MOVD $STDERR, R0
	MOVD $cannot<>(SB), R1
	MOVD $CANNOTLEN, R2
	SYS(write)
	MOVD $NOGO, R0
	B    out
leave:
	MOVD STATUS, R1
	UBFX $8, R1, $8, R0             // exited: its code
	AND  $0x7f, R1
	CBZ  R1, code
	ADD  $128, R1, R0               // killed: 128 + signal
code:
	MOVD $REMAP, R1
	MOVBU (R1)(R0), R0
out:
	SYS(exit_group)
	UNDEF

TEXT sexton_end(SB),NOSPLIT|NOFRAME,$0-0
	RET
