package bpfiter

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// object is src/keepers.c, compiled by scripts/bpf.sh.
//
//go:embed keepers.o
var object []byte

// load has the kernel check and translate the program for a question.
//
// The library reads the object and makes its maps. It would also load the program, and for that
// read all types of the kernel, which takes three times as long as all the rest.
func load(q Question, mine Device, bounds map[string]uint32) (*ebpf.Program, error) {
	keys, values := entries(q, mine)
	if n := len(keys); n < 2 || n > mostDevices {
		return nil, fmt.Errorf("%d devices are asked about, want 1 to %d", n-1, mostDevices-1)
	}
	k, err := readKernel()
	if err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	if err := set(spec, &k.layout, q.Unlisted != nil, bounds); err != nil {
		return nil, fmt.Errorf("set what is asked: %w", err)
	}
	spec.Maps["devices"].MaxEntries = uint32(len(keys))
	program := spec.Programs["keepers"]
	spec.Programs = nil
	made, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("make its maps: %w", err)
	}
	defer made.Close() // the program holds them
	if _, err := made.Maps["devices"].BatchUpdate(keys, values, nil); err != nil {
		return nil, fmt.Errorf("pass the devices: %w", err)
	}
	for name, m := range made.Maps {
		if err := program.Instructions.AssociateMap(name, m); err != nil {
			return nil, fmt.Errorf("map %s: %w", name, err)
		}
	}
	return k.load(program)
}

func set(spec *ebpf.CollectionSpec, at *layout, unlisted bool, bounds map[string]uint32) error {
	err := spec.Variables["at"].Set(at)
	if unlisted {
		err = errors.Join(err, spec.Variables["unlisted"].Set(uint8(1)))
	}
	for name, bound := range bounds {
		err = errors.Join(err, spec.Variables[name].Set(bound))
	}
	return err
}

// load loads a program whose maps are made.
func (k *kernel) load(program *ebpf.ProgramSpec) (*ebpf.Program, error) {
	code := program.Instructions
	for i := range code {
		if name := code[i].Reference(); code[i].IsKfuncCall() {
			if k.functions[name] == 0 {
				return nil, fmt.Errorf("the program calls %q", name)
			}
			code[i].Constant, code[i].Offset = int64(k.functions[name]), 0
		}
	}
	var types btf.Builder // of the program: its functions are declared to the kernel
	functions, _, err := btf.MarshalExtInfos(code, &types)
	if err != nil {
		return nil, fmt.Errorf("types of the program: %w", err)
	}
	handle, err := btf.NewHandle(&types)
	if err != nil {
		return nil, fmt.Errorf("load the types of the program: %w", err)
	}
	defer handle.Close()
	var text bytes.Buffer
	if err := code.Marshal(&text, program.ByteOrder); err != nil {
		return nil, fmt.Errorf("instructions: %w", err)
	}
	fd, err := loadProgram(text.Bytes(), functions, program.License, handle.FD(), k.functions[target])
	if err != nil {
		return nil, fmt.Errorf("load the program: %w", err)
	}
	return ebpf.NewProgramFromFD(fd)
}

// A loading is the part of union bpf_attr that is for BPF_PROG_LOAD.
//
// Source: Linux 6.7 include/uapi/linux/bpf.h.
type loading struct {
	programType, instructionCount     uint32
	instructions, license             uint64
	logLevel, logSize                 uint32
	logBuffer                         uint64
	kernelVersion, flags              uint32
	name                              [unix.BPF_OBJ_NAME_LEN]byte
	interfaceIndex, attachType        uint32
	typesFD, functionSize             uint32
	functions                         uint64
	functionCount, lineSize           uint32
	lines                             uint64
	lineCount, attachTo, attachObject uint32
	_                                 uint32
}

func loadProgram(code, functions []byte, license string, types int, attachTo uint32) (int, error) {
	licensed := append([]byte(license), 0)
	address := func(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
	attr := loading{
		programType: unix.BPF_PROG_TYPE_TRACING, attachType: unix.BPF_TRACE_ITER, attachTo: attachTo,
		instructions: address(code), instructionCount: uint32(len(code) / asm.InstructionSize), license: address(licensed),
		typesFD: uint32(types), functions: address(functions), functionCount: uint32(len(functions)) / btf.FuncInfoSize, functionSize: btf.FuncInfoSize,
	}
	copy(attr.name[:len(attr.name)-1], "sexton_keepers")
	defer runtime.KeepAlive([][]byte{code, functions, licensed})
	const tries = 5 // the kernel's checker may be interrupted
	for range tries {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EAGAIN, unix.EINTR:
		default:
			return -1, errno
		}
	}
	return -1, unix.EAGAIN
}
