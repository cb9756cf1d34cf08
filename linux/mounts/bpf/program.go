package bpf

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"sexton.dev/linux/seccomp"
)

// A program is one that was loaded, and its map, whose one value is its answer.
type program struct {
	collection *ebpf.Collection
	fd         int
	memory     []byte
}

// load loads the program with this name, whose constant "at" is told.
//
// Source: bpf(2); Linux 5.17, bpf_loop.
func load(object []byte, name string, at any, answer uintptr) (*program, error) {
	if err := seccomp.Filtered(); err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	if err := spec.Variables["at"].Set(at); err != nil {
		return nil, err
	}
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load a BPF program: %w", err)
	}
	p := &program{collection: collection, fd: collection.Programs[name].FD()}
	if p.memory, err = unix.Mmap(collection.Maps["answers"].FD(), 0, int(answer), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		p.close()
		return nil, fmt.Errorf("mmap of a BPF map: %w", err)
	}
	return p, nil
}

func (p *program) close() {
	if p.memory != nil {
		unix.Munmap(p.memory)
	}
	p.collection.Close()
}

// run calls the program once, of which the answer is in memory then.
//
// Source: Linux 5.10 include/uapi/linux/bpf.h, union bpf_attr, test; net/bpf/test_run.c, bpf_prog_test_run_raw_tp.
func (p *program) run(args [3]uint64) (returned uint32, err error) {
	attr := struct {
		program, returned    uint32
		sizes                [2]uint32
		data                 [2]uint64
		repeat, duration     uint32
		contextSize, outSize uint32
		context, out         *[3]uint64
		flags, cpu, batch, _ uint32
	}{program: uint32(p.fd), contextSize: uint32(unsafe.Sizeof(args)), context: &args}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		switch errno {
		case 0:
			return attr.returned, nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("run a BPF program: %w", errno)
		}
	}
}
