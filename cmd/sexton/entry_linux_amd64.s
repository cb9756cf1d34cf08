// The first instructions of sexton, before the Go runtime's: see entry_linux.go.
//
// Straight line, no calls, and nothing is written to the stack before the threads
// are gone. R12 walks the threads' words from R13, the gate's, to R14; R15 keeps DX.

#include "textflag.h"
#include "go_asm.h"
#include "entry_linux.h"

#define SYS(n)      MOVL $n, AX; SYSCALL
#define write       1
#define mmap        9
#define munmap      11
#define clone       56
#define exit        60
#define futex       202
#define exit_group  231

TEXT sexton_entry(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ DX, R15                    // the only register that may hold something

	LEAQ words<>(SB), R13           // How many threads does this command need?
	LEAQ WORDS(const_threads)(R13), R14
	MOVQ 16(SP), AX                 // argv[1]
	TESTQ AX, AX
	JZ   addresses
	CMPW (AX), $HIDDEN
	JNE  addresses
	LEAQ WORDS(const_hiddenThreads)(R13), R14

addresses:                              // Can the runtime reserve what it wants?
	XORL DI, DI
	MOVL $const_space, SI
	XORL DX, DX                     // PROT_NONE
	MOVL $ANONYMOUS, R10
	MOVQ $-1, R8
	XORL R9, R9
	SYS(mmap)
	CMPQ AX, $ENOMEM
	JEQ  refusememory
	MOVQ AX, DI                     // no matter if it is another error
	MOVL $const_space, SI
	SYS(munmap)
	XORL DI, DI                     // And map what it wants to write?
	MOVL $const_writable, SI
	MOVL $READWRITE, DX
	SYS(mmap)
	CMPQ AX, $ENOMEM
	JEQ  refusememory
	MOVQ AX, DI
	MOVL $const_writable, SI
	SYS(munmap)

	LEAQ WORDS(0)(R13), R12         // Can the threads be made?
make:
	MOVL $THREAD, DI
	XORL SI, SI                     // our stack, which it does not touch
	MOVQ R12, DX
	MOVQ R12, R10
	XORL R8, R8
	SYS(clone)
	TESTQ AX, AX
	JZ   thread
	CMPQ AX, $EAGAIN
	JEQ  refusethreads
	CMPQ AX, $ENOMEM
	JEQ  refusememory
	TESTQ AX, AX
	JLT  release                    // forbidden or unknown here: let the runtime try
	ADDQ $4, R12
	CMPQ R12, R14
	JNE  make

release:                                // They can: let them end, and wait for it.
	MOVL $1, (R13)
	MOVQ R13, DI
	MOVL $WAKE_OURS, SI
	MOVL $const_threads, DX
	SYS(futex)
	LEAQ WORDS(0)(R13), R12
ended:
	MOVL (R12), DX
	TESTL DX, DX
	JZ   next
	MOVQ R12, DI
	MOVL $WAIT, SI
	XORL R10, R10                   // no timeout
	SYS(futex)
	JMP  ended
next:
	ADDQ $4, R12
	CMPQ R12, R14
	JNE  ended

	LEAQ WORDS(const_threads)(R13), AX
	CMPQ R14, AX
	JNE  runtime                    // a hidden command brings its own GOMAXPROCS
	MOVQ SP, SI                     // Put ours before envp: argc and argv go down
	SUBQ $16, SP                    // by two words, what follows them stays.
	MOVQ SP, DI
	MOVQ (SI), CX
	ADDQ $2, CX                     // argc, argv and its end
	REP; MOVSQ
	LEAQ gomaxprocs<>(SB), AX
	STOSQ
	STOSQ                           // twice, for a stack pointer that is a multiple of 16

runtime:
	MOVQ R15, DX                    // as the kernel left them
	XORL AX, AX
	XORL CX, CX
	XORL SI, SI
	XORL DI, DI
	XORL R8, R8
	XORL R9, R9
	XORL R10, R10
	XORL R11, R11
	XORL R12, R12
	XORL R13, R13
	XORL R14, R14
	XORL R15, R15
	JMP  _rt0_amd64_linux(SB)

thread:                                 // one of the threads
	MOVL (R13), AX
	TESTL AX, AX
	JNZ  leave
	MOVQ R13, DI
	MOVL $WAIT_OURS, SI
	XORL DX, DX                     // while the gate is 0
	XORL R10, R10
	SYS(futex)
	JMP  thread
leave:
	XORL DI, DI
	SYS(exit)

refusethreads:
	LEAQ nothreads<>(SB), SI
	MOVL $THREADSLEN, DX
	JMP  refuse
refusememory:
	LEAQ nomemory<>(SB), SI
	MOVL $MEMORYLEN, DX
refuse:
	MOVL $STDERR, DI
	SYS(write)
	MOVL $CANNOT_TELL, DI
	SYS(exit_group)
