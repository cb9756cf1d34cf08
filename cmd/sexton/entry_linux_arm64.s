// The first instructions of sexton, before the Go runtime's: see entry_linux.go.
//
// Straight line, no calls, and nothing is written to the stack before the threads
// are gone. R19 walks the threads' words from R20, the gate's, to R21; R22 keeps R0.

#include "textflag.h"
#include "go_asm.h"
#include "entry_linux.h"

#define SYS(n)      MOVD $n, R8; SVC
#define write       64
#define exit        93
#define exit_group  94
#define futex       98
#define munmap      215
#define clone       220
#define mmap        222

TEXT sexton_entry(SB),NOSPLIT|NOFRAME,$0-0
	MOVD R0, R22                    // the only register that may hold something

	MOVD $words<>(SB), R20          // How many threads does this command need?
	ADD  $WORDS(const_threads), R20, R21
	MOVD 16(RSP), R0                // argv[1]
	CBZ  R0, addresses
	MOVHU (R0), R0
	MOVD $HIDDEN, R1
	CMP  R1, R0
	BNE  addresses
	ADD  $WORDS(const_hiddenThreads), R20, R21

addresses:                              // Can the runtime reserve what it wants?
	MOVD ZR, R0
	MOVD $const_space, R1
	MOVD ZR, R2                     // PROT_NONE
	MOVD $ANONYMOUS, R3
	MOVD $-1, R4
	MOVD ZR, R5
	SYS(mmap)
	CMP  $ENOMEM, R0
	BEQ  refusememory
	MOVD $const_space, R1           // no matter if R0 is another error
	SYS(munmap)
	MOVD ZR, R0                     // And map what it wants to write?
	MOVD $const_writable, R1
	MOVD $READWRITE, R2
	SYS(mmap)
	CMP  $ENOMEM, R0
	BEQ  refusememory
	MOVD $const_writable, R1
	SYS(munmap)

	ADD  $WORDS(0), R20, R19        // Can the threads be made?
make:
	MOVD $THREAD, R0
	MOVD ZR, R1                     // our stack, which it does not touch
	MOVD R19, R2
	MOVD ZR, R3
	MOVD R19, R4
	SYS(clone)
	CBZ  R0, thread
	CMP  $EAGAIN, R0
	BEQ  refusethreads
	CMP  $ENOMEM, R0
	BEQ  refusememory
	TBNZ $63, R0, release           // forbidden or unknown here: let the runtime try
	ADD  $4, R19
	CMP  R21, R19
	BNE  make

release:                                // They can: let them end, and wait for it.
	MOVD $1, R0
	MOVW R0, (R20)
	MOVD R20, R0
	MOVD $WAKE_OURS, R1
	MOVD $const_threads, R2
	SYS(futex)
	ADD  $WORDS(0), R20, R19
ended:
	MOVWU (R19), R2
	CBZ  R2, next
	MOVD R19, R0
	MOVD $WAIT, R1
	MOVD ZR, R3                     // no timeout
	SYS(futex)
	B    ended
next:
	ADD  $4, R19
	CMP  R21, R19
	BNE  ended

	ADD  $WORDS(const_threads), R20, R0
	CMP  R0, R21
	BNE  runtime                    // a hidden command brings its own GOMAXPROCS
	MOVD RSP, R1                    // Put ours before envp: argc and argv go down
	MOVD (R1), R2                   // by two words, what follows them stays.
	ADD  R2<<3, R1, R2
	ADD  $16, R2                    // behind argc, argv and its end
	SUB  $16, RSP
move:
	MOVD (R1), R0
	MOVD R0, -16(R1)
	ADD  $8, R1
	CMP  R2, R1
	BNE  move
	MOVD $gomaxprocs<>(SB), R0
	MOVD R0, -16(R2)
	MOVD R0, -8(R2)                 // twice, for a stack pointer that is a multiple of 16

runtime:
	MOVD R22, R0                    // as the kernel left them
	MOVD ZR, R1
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	MOVD ZR, R5
	MOVD ZR, R8
	MOVD ZR, R19
	MOVD ZR, R20
	MOVD ZR, R21
	MOVD ZR, R22
	MOVD ZR, R27                    // the assembler's own
	B    _rt0_arm64_linux(SB)

thread:                                 // one of the threads
	MOVWU (R20), R0
	CBNZ R0, leave
	MOVD R20, R0
	MOVD $WAIT_OURS, R1
	MOVD ZR, R2                     // while the gate is 0
	MOVD ZR, R3
	SYS(futex)
	B    thread
leave:
	MOVD ZR, R0
	SYS(exit)

refusethreads:
	MOVD $nothreads<>(SB), R1
	MOVD $THREADSLEN, R2
	B    refuse
refusememory:
	MOVD $nomemory<>(SB), R1
	MOVD $MEMORYLEN, R2
refuse:
	MOVD $STDERR, R0
	SYS(write)
	MOVD $CANNOT_TELL, R0
	SYS(exit_group)
