package ptrace

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

func TestAnswer(t *testing.T) {
	var data callData
	data.set(247, 0x7fff_0000_1002, [6]uint64{1, 77, 0, 5})
	ret := func(program ...insn) []insn { return append(program, insn{0x16, 0, 0, 0}) } // ret a
	long := slices.Repeat([]insn{{0x04, 0, 0, 1}}, mostInsns-1)                         // add #1
	for _, tt := range []struct {
		name    string
		program []insn
		want    uint32
		wrong   bool
	}{
		{name: "constant", program: []insn{{0x06, 0, 0, 0x7fff0000}}, want: 0x7fff0000},
		{name: "number", program: ret(insn{0x20, 0, 0, 0}), want: 247},
		{name: "architecture", program: ret(insn{0x20, 0, 0, 4}), want: auditArch},
		{name: "address, low", program: ret(insn{0x20, 0, 0, 8}), want: 0x1002},
		{name: "address, high", program: ret(insn{0x20, 0, 0, 12}), want: 0x7fff},
		{name: "second argument", program: ret(insn{0x20, 0, 0, 24}), want: 77},
		{name: "last word", program: ret(insn{0x20, 0, 0, 60})},
		{name: "length", program: ret(insn{0x80, 0, 0, 0}), want: 64},
		{name: "length to x", program: ret(insn{0x81, 0, 0, 0}, insn{0x87, 0, 0, 0}), want: 64},
		{name: "memory", program: ret(insn{0x00, 0, 0, 9}, insn{0x02, 0, 0, 15}, insn{0x00, 0, 0, 1}, insn{0x61, 0, 0, 15}, insn{0x0c, 0, 0, 0}), want: 10},
		{name: "x to memory", program: ret(insn{0x01, 0, 0, 9}, insn{0x03, 0, 0, 0}, insn{0x60, 0, 0, 0}), want: 9},
		{name: "wraps", program: ret(insn{0x14, 0, 0, 1}), want: 0xffffffff},
		{name: "negative", program: ret(insn{0x00, 0, 0, 1}, insn{0x84, 0, 0, 0}), want: 0xffffffff},
		{name: "a jump to the end", program: ret(insn{0x05, 0, 0, 1}, insn{0x04, 0, 0, 9}), want: 0},
		{name: "jump if", program: []insn{{0x20, 0, 0, 0}, {0x15, 1, 0, 247}, {0x06, 0, 0, 1}, {0x06, 0, 0, 2}}, want: 2},
		{name: "jump if not", program: []insn{{0x20, 0, 0, 0}, {0x35, 1, 0, 248}, {0x06, 0, 0, 1}, {0x06, 0, 0, 2}}, want: 1},
		{name: "divide by x of 0: killed", program: ret(insn{0x3c, 0, 0, 0}), want: 0},
		{name: "the longest", program: ret(long...), want: mostInsns - 1},

		{name: "empty", wrong: true},
		{name: "no end", program: []insn{{0x00, 0, 0, 1}}, wrong: true},
		{name: "jump behind the end", program: []insn{{0x05, 0, 0, 1}, {0x06, 0, 0, 0}}, wrong: true},
		{name: "jump back by wrapping", program: []insn{{0x05, 0, 0, 0xffffffff}, {0x06, 0, 0, 0}}, wrong: true},
		{name: "conditional jump behind the end", program: []insn{{0x15, 255, 255, 0}, {0x06, 0, 0, 0}}, wrong: true},
		{name: "load behind the data", program: ret(insn{0x20, 0, 0, 64}), wrong: true},
		{name: "load far behind", program: ret(insn{0x20, 0, 0, 0xfffffffc}), wrong: true},
		{name: "load between", program: ret(insn{0x20, 0, 0, 2}), wrong: true},
		{name: "load a byte", program: ret(insn{0x30, 0, 0, 0}), wrong: true},
		{name: "load by x", program: ret(insn{0x40, 0, 0, 0}), wrong: true},
		{name: "memory 16", program: ret(insn{0x60, 0, 0, 16}), wrong: true},
		{name: "store to memory -1", program: ret(insn{0x02, 0, 0, 0xffffffff}), wrong: true},
		{name: "divide by 0", program: ret(insn{0x34, 0, 0, 0}), wrong: true},
		{name: "shift by 32", program: ret(insn{0x64, 0, 0, 32}), wrong: true},
		{name: "modulo, which seccomp has not", program: ret(insn{0x94, 0, 0, 3}), wrong: true},
		{name: "return x", program: []insn{{0x0e, 0, 0, 0}}, wrong: true},
		{name: "no such code", program: ret(insn{0xffff, 0, 0, 0}), wrong: true},
		{name: "high bits in a code", program: ret(insn{0x104, 0, 0, 0}), wrong: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := answer(tt.program, &data)
			if got != tt.want || (err != nil) != tt.wrong || err != nil && !errors.Is(err, errProgram) {
				t.Errorf("%#x, %v", got, err)
			}
		})
	}
}

// Whatever a container loads, the answer comes: no panic, no endless run.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x20\x00\x00\x00\x04\x00\x00\x00\x15\x00\x01\x00\x3e\x00\x00\xc0\x06\x00\x00\x00\x00\x00\xff\x7f\x06\x00\x00\x00\x00\x00\x00\x00"), uint64(7))
	f.Fuzz(func(t *testing.T, text []byte, argument uint64) {
		var program []insn
		for ; len(text) >= 8 && len(program) < mostInsns; text = text[8:] {
			program = append(program, insn{binary.LittleEndian.Uint16(text), text[2], text[3], binary.LittleEndian.Uint32(text[4:])})
		}
		var data callData
		data.set(uint32(argument), argument, [6]uint64{argument, 0, argument})
		if _, err := answer(program, &data); err != nil && err != errProgram {
			t.Error(err)
		}
	})
}

// TestAnswerOfKernel loads random filters and asks the kernel too.
func TestAnswerOfKernel(t *testing.T) {
	n, random := hosttest.Trials(t, 60, 1000)
	for i := range n {
		args := [6]uint64{random.Uint64(), random.Uint64(), random.Uint64() >> 40, 0, 1, random.Uint64()}
		program := randomFilter(random)
		var data callData
		data.set(noCall, 0, args)
		want, err := answer(program, &data)
		if err != nil {
			t.Fatalf("filter %d: %v: %v", i, err, program)
		}
		got := make(chan unix.Errno)
		go func() {
			runtime.LockOSThread() // never unlocked: the filter ends with the thread
			if err := load(program); err != nil {
				t.Error(err)
			}
			_, _, errno := unix.RawSyscall6(noCall, uintptr(args[0]), uintptr(args[1]), uintptr(args[2]), uintptr(args[3]), uintptr(args[4]), uintptr(args[5]))
			got <- errno
		}()
		if errno := <-got; want != unix.SECCOMP_RET_ERRNO|uint32(errno) {
			t.Fatalf("filter %d: the kernel answers %d, we %#x: %v of %v", i, errno, want, program, args)
		}
	}
}

const noCall = 999 // a number that no system call has

// randomFilter answers an error number of 1 to 255 to noCall, and lets all others pass.
func randomFilter(random *rand.Rand) []insn {
	program := []insn{{0x20, 0, 0, 0}, {0x15, 1, 0, noCall}, {0x06, 0, 0, unix.SECCOMP_RET_ALLOW}}
	for i := range uint32(16) { // what is loaded must have been stored
		program = append(program, insn{0x02, 0, 0, i})
	}
	body := 40
	for i := range body {
		words := []uint32{0, 4, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60} // not ip
		codes := []uint16{0x20, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x44, 0x4c, 0x54, 0x5c,
			0xa4, 0xac, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0x07, 0x87, 0x80, 0x81, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d}
		in := insn{code: codes[random.IntN(len(codes))], k: random.Uint32() >> random.IntN(32)}
		left := body - i - 1
		switch in.code {
		case 0x20:
			in.k = words[random.IntN(len(words))]
		case 0x60, 0x61, 0x02, 0x03:
			in.k %= 16
		case 0x34:
			in.k |= 1
		case 0x64, 0x74:
			in.k %= 32
		case 0x05:
			in.k = uint32(random.IntN(min(left, 3) + 1))
		case 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d:
			in.jt, in.jf = uint8(random.IntN(min(left, 3)+1)), uint8(random.IntN(min(left, 3)+1))
		}
		program = append(program, in)
	}
	return append(program, insn{0x54, 0, 0, 0xfe}, insn{0x44, 0, 0, unix.SECCOMP_RET_ERRNO | 1}, insn{0x16, 0, 0, 0})
}

// load gives the calling thread a filter.
//
// Source: seccomp(2).
func load(program []insn) error {
	prog := struct {
		n     uint16
		insns *insn
	}{uint16(len(program)), &program[0]}
	_, _, errno := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
