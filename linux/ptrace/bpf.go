package ptrace

import (
	"encoding/binary"
	"errors"
)

// An insn is one instruction of a classic BPF program, as the kernel lays it out.
type insn struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// What a system call looks like to a filter: struct seccomp_data.
type callData [64]byte

func (d *callData) set(nr uint32, ip uint64, args [6]uint64) {
	binary.LittleEndian.PutUint32(d[0:], nr)
	binary.LittleEndian.PutUint32(d[4:], auditArch)
	binary.LittleEndian.PutUint64(d[8:], ip)
	for i, a := range args {
		binary.LittleEndian.PutUint64(d[16+8*i:], a)
	}
}

// errProgram means that the kernel would not have taken the program.
var errProgram = errors.New("not a seccomp filter: a bad instruction")

// answer runs a filter and returns what it answers.
//
// The program comes from a container. It cannot run for longer than its length,
// as jumps lead forward alone, and every index is checked.
//
// Source: seccomp(2); Linux 6.12 kernel/seccomp.c, seccomp_check_filter;
// net/core/filter.c, bpf_check_classic and bpf_convert_filter.
func answer(program []insn, data *callData) (uint32, error) {
	var a, x uint32
	var m [16]uint32
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		switch i.code {
		case 0x20: // ld [k]
			if i.k > 60 || i.k%4 != 0 {
				return 0, errProgram
			}
			a = binary.LittleEndian.Uint32(data[i.k:])
		case 0x00: // ld #k
			a = i.k
		case 0x01: // ldx #k
			x = i.k
		case 0x80: // ld #len
			a = uint32(len(data))
		case 0x81: // ldx #len
			x = uint32(len(data))
		case 0x60, 0x61, 0x02, 0x03: // ld, ldx, st, stx M[k]
			if i.k >= uint32(len(m)) {
				return 0, errProgram
			}
			switch i.code {
			case 0x60:
				a = m[i.k]
			case 0x61:
				x = m[i.k]
			case 0x02:
				m[i.k] = a
			case 0x03:
				m[i.k] = x
			}
		case 0x07: // tax
			x = a
		case 0x87: // txa
			a = x
		case 0x06: // ret #k
			return i.k, nil
		case 0x16: // ret a
			return a, nil
		case 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d: // jumps
			by := i.jump(a, x)
			if uint64(by) >= uint64(len(program)-pc-1) {
				return 0, errProgram
			}
			pc += int(by)
		default:
			if i.code == 0x3c && x == 0 { // div x: the kernel ends the program with 0
				return 0, nil
			}
			var ok bool
			if a, ok = i.compute(a, x); !ok {
				return 0, errProgram
			}
		}
	}
	return 0, errProgram
}

// jump is how many instructions a jump skips.
func (i insn) jump(a, x uint32) uint32 {
	with := i.k
	if i.code&8 != 0 {
		with = x
	}
	var is bool
	switch i.code & 0xf0 {
	case 0x00:
		return i.k
	case 0x10:
		is = a == with
	case 0x20:
		is = a > with
	case 0x30:
		is = a >= with
	case 0x40:
		is = a&with != 0
	}
	if is {
		return uint32(i.jt)
	}
	return uint32(i.jf)
}

// compute is the arithmetic on a; not ok for what seccomp does not take.
func (i insn) compute(a, x uint32) (uint32, bool) {
	with := i.k
	if i.code&8 != 0 {
		with = x
	}
	byK := i.code&8 == 0
	switch i.code &^ 8 {
	case 0x04:
		return a + with, true
	case 0x14:
		return a - with, true
	case 0x24:
		return a * with, true
	case 0x34:
		if with == 0 {
			return 0, false
		}
		return a / with, true
	case 0x44:
		return a | with, true
	case 0x54:
		return a & with, true
	case 0xa4:
		return a ^ with, true
	case 0x64:
		return a << (with & 31), !byK || with < 32
	case 0x74:
		return a >> (with & 31), !byK || with < 32
	case 0x84:
		return -a, byK
	}
	return 0, false
}
