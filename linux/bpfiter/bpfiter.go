// Package bpfiter asks the kernel, by a BPF program that it runs for each thread, which
// processes are worth a look: what /proc tells takes 55 µs of a process, this ten, and 6 ms
// to begin with.
//
// It is an optional fast way. The kernel needs BTF and open-coded iterators of mappings (Linux
// 6.7), the caller CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN; a filter of system calls or a
// lockdown may forbid it. Whether it is possible is found by trying.
package bpfiter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"sexton.dev/linux/seccomp"
)

// A Device is the number of a superblock.
type Device struct{ Major, Minor uint32 }

// number is the device in the kernel's own way of writing it.
//
// Source: Linux 6.12 include/linux/kdev_t.h.
func (d Device) number() uint32 { return d.Major<<20 | d.Minor }

func deviceOf(number uint32) Device { return Device{number >> 20, number & (1<<20 - 1)} }

// A Reason is why a process is worth a look: the first thing that was found.
type Reason uint32

// What was found, as in src/keepers.c.
const (
	Directory  Reason = iota + 1 // a working or root directory
	Program                      // the file that is executed
	Mapping                      // a mapped file
	Descriptor                   // an open file
	Ring                         // an io_uring: what is registered with it is not looked at
	Unsure                       // something could not be seen, or was too much
)

// A Question says what processes are asked about.
type Question struct {
	Devices []Device // superblocks, by the numbers that mount tables have

	// Unlisted asks as well for what is on a superblock of none of these numbers, but
	// for the kernel's own: it is on a detached mount. nil: not asked for.
	Unlisted []Device

	// Most is how many processes may be told; more are [ErrMany].
	Most int
}

// A Keeper is a process, by its number in the machine's first PID namespace, that is worth a look.
type Keeper struct {
	PID    int
	TID    int // the thread by which it was found: of several each may be told
	Reason Reason
	Device Device // on which it has something, if Reason is none of Ring and Unsure
}

// Why there is no answer, besides errors of the kernel.
var (
	ErrMany   = errors.New("more processes than asked for")
	ErrFormat = errors.New("not a record of a process")
	ErrBlind  = errors.New("the program does not see what this process has open")
)

const mostDevices = 1 << 16 // of a question; each takes some 100 bytes of the kernel's memory

// Keepers finds the processes that have something on the devices that are asked about,
// those with an io_uring, and those of which it cannot tell. They are those of the
// caller's PID namespace, but for the caller. No process is left out but who came by
// what it has meanwhile.
func Keepers(ctx context.Context, q Question) ([]Keeper, error) { return keepersOf(ctx, q, nil) }

// keepersOf is Keepers with other bounds than those of src/keepers.c, by their names there.
//
// That nothing is told must mean that there is nothing: so this process has a file open that the
// program has to see.
func keepersOf(ctx context.Context, q Question, bounds map[string]uint32) ([]Keeper, error) {
	if err := seccomp.Filtered(); err != nil {
		return nil, err
	}
	file, mine, err := openMine()
	if err != nil {
		return nil, err
	}
	defer unix.Close(file)
	program, err := load(q, mine, bounds)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	iter, err := link.AttachIter(link.IterOptions{Program: program})
	if err != nil {
		return nil, fmt.Errorf("attach the iterator: %w", err)
	}
	defer iter.Close()
	rows, err := iter.Open()
	if err != nil {
		return nil, fmt.Errorf("open the iterator: %w", err)
	}
	defer rows.Close()
	keepers, err := read(ctx, rows, q.Most+1)
	if err != nil {
		return nil, err
	}
	own := func(k Keeper) bool { return k.Device == mine && k.Reason == Descriptor }
	if !slices.ContainsFunc(keepers, own) {
		return nil, ErrBlind
	}
	return slices.DeleteFunc(keepers, own), nil
}

// openMine opens a file of memory, and tells its superblock's number.
func openMine() (fd int, of Device, err error) {
	fd, err = unix.MemfdCreate("seen", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return -1, of, fmt.Errorf("memfd_create: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return -1, of, err
	}
	return fd, Device{unix.Major(stat.Dev), unix.Minor(stat.Dev)}, nil
}

// entries are the devices of a question, each once, and what each is to it. The one of memory
// is of no mount that can be asked about.
func entries(q Question, mine Device) (keys []uint32, values []uint8) {
	const asked, listed, own = 1, 2, 3 // as in src/keepers.c
	known := make(map[Device]bool, len(q.Devices)+len(q.Unlisted))
	for i, all := range [][]Device{{mine}, q.Devices, q.Unlisted} {
		for _, d := range all {
			if !known[d] {
				known[d] = true
				keys, values = append(keys, d.number()), append(values, []uint8{own, asked, listed}[i])
			}
		}
	}
	return keys, values
}

// read reads what the program tells: reading is what runs it.
func read(ctx context.Context, rows io.Reader, most int) ([]Keeper, error) {
	var found []Keeper
	pids := map[int]bool{}
	buf := make([]byte, 32<<10) // the kernel's own piece
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := rows.Read(buf)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // it told of a million threads nothing, and goes on
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read the iterator: %w", err)
		}
		records, wrong := parse(buf[:n])
		if wrong != nil {
			return nil, wrong
		}
		for _, r := range records {
			pids[r.PID] = true
		}
		if len(pids) > most {
			return nil, ErrMany
		}
		if found = append(found, records...); err == io.EOF || n == 0 {
			return found, nil
		}
	}
}

// parse reads records, struct record of src/keepers.c. Errors wrap [ErrFormat].
func parse(text []byte) (all []Keeper, err error) {
	const size = 16
	for ; len(text) >= size; text = text[size:] {
		word := func(i int) uint32 { return binary.NativeEndian.Uint32(text[4*i:]) }
		pid, tid, why := word(0), word(1), Reason(word(2))
		if pid == 0 || pid > math.MaxInt32 || tid == 0 || tid > math.MaxInt32 || why < Directory || why > Unsure {
			return nil, fmt.Errorf("%w: % x", ErrFormat, text[:size])
		}
		all = append(all, Keeper{int(pid), int(tid), why, deviceOf(word(3))})
	}
	if len(text) > 0 {
		return nil, fmt.Errorf("%w: cut short: % x", ErrFormat, text)
	}
	return all, nil
}
