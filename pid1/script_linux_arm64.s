#include "textflag.h"
#include "go_asm.h"

// func vfork(flags uintptr, ops *op, number *int32, failed *failure) int
//
// The child shares our memory and this stack, on which it puts nothing; we sleep
// until it has executed or ended. R9 the op, R10 failed.
TEXT ·vfork(SB),NOSPLIT,$0-40
	MOVD $2, R0                     // SIG_SETMASK: all signals, so that no handler of ours runs in the child
	MOVD $·allSignals(SB), R1
	MOVD $·ourSignals(SB), R2
	MOVD $8, R3
	MOVD $135, R8                   // rt_sigprocmask
	SVC  $0
	MOVD flags+0(FP), R0
	MOVD ops+8(FP), R9
	MOVD number+16(FP), R4          // where the child's id goes, in its memory: ours
	MOVD failed+24(FP), R10
	MOVD ZR, R1                     // the same stack
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD $220, R8                   // clone
	SVC  $0
	CBZ  R0, child
	MOVD R0, ret+32(FP)
	MOVD $2, R0
	MOVD $·ourSignals(SB), R1
	MOVD ZR, R2
	MOVD $8, R3
	MOVD $135, R8
	SVC  $0
	RET

child:
	MOVD op_nr(R9), R8
	MOVD (op_args+0)(R9), R0
	MOVD (op_args+8)(R9), R1
	MOVD (op_args+16)(R9), R2
	MOVD (op_args+24)(R9), R3
	MOVD (op_args+32)(R9), R4
	SVC  $0
	CMN  $4095, R0
	BCC  next                       // unsigned: no error
	MOVD op_must(R9), R1
	CBNZ R1, end
next:
	ADD  $op__size, R9
	B    child
end:
	MOVD R0, failure_errno(R10)
	MOVD R9, failure_op(R10)
	MOVD $127, R0
	MOVD $93, R8                    // exit
	SVC  $0
	UNDEF
