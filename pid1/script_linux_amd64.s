#include "textflag.h"
#include "go_asm.h"

// func vfork(flags uintptr, ops *op, number *int32, failed *failure) int
//
// The child shares our memory and this stack, on which it puts nothing; we sleep
// until it has executed or ended. R12 the op, R13 failed.
TEXT ·vfork(SB),NOSPLIT,$0-40
	MOVL $2, DI                     // SIG_SETMASK: all signals, so that no handler of ours runs in the child
	LEAQ ·allSignals(SB), SI
	LEAQ ·ourSignals(SB), DX
	MOVL $8, R10
	MOVL $14, AX                    // rt_sigprocmask
	SYSCALL
	MOVQ flags+0(FP), DI
	MOVQ ops+8(FP), R12
	MOVQ number+16(FP), R10         // where the child's id goes, in its memory: ours
	MOVQ failed+24(FP), R13
	XORL SI, SI                     // the same stack
	XORL DX, DX
	XORL R8, R8
	MOVL $56, AX                    // clone
	SYSCALL
	TESTQ AX, AX
	JZ   child
	MOVQ AX, ret+32(FP)
	MOVL $2, DI
	LEAQ ·ourSignals(SB), SI
	XORL DX, DX
	MOVL $8, R10
	MOVL $14, AX
	SYSCALL
	RET

child:
	MOVQ op_nr(R12), AX
	MOVQ (op_args+0)(R12), DI
	MOVQ (op_args+8)(R12), SI
	MOVQ (op_args+16)(R12), DX
	MOVQ (op_args+24)(R12), R10
	MOVQ (op_args+32)(R12), R8
	SYSCALL
	CMPQ AX, $-4095
	JCS  next                       // unsigned: no error
	CMPQ op_must(R12), $0
	JNE  end
next:
	ADDQ $op__size, R12
	JMP  child
end:
	MOVQ AX, failure_errno(R13)
	MOVQ R12, failure_op(R13)
	MOVL $127, DI
	MOVL $60, AX                    // exit
	SYSCALL
	UNDEF
