// Package bpf reads the numbers of all mounts of a mount namespace with a BPF
// program, which goes through the kernel's own tree of them: 0.2 µs a mount, where
// statmount takes 1.2. To load it takes 2 ms. Another program tells in which
// namespaces processes are.
package bpf

import (
	_ "embed"
	"errors"
	"math/rand/v2"
	"unsafe"

	"sexton.dev/linux/mounts"
)

// ErrTorn is the error of a namespace whose mounts changed each time that they were read.
var ErrTorn = errors.New("the mounts change while they are read")

// A Mount is what the kernel has of a mount, without a text.
type Mount struct {
	ID, Parent uint64 // unique ones; the bottom of a namespace is its own parent

	// Root and Point say which directories the mount's root and its mount point are. They
	// are the kernel's addresses: two that are equal are the same, as long as that is there.
	Root, Point uint64
	Source      uint64 // the same for the same text, of less than 255 bytes; 0 if not asked for

	OldID, OldParent uint32
	device           uint32
	Magic            uint32
	propagation      uint32
	Shared, Master   uint32 // peer groups, 0: none, or not asked for
	_                uint32
}

// Device returns the number of the mount's superblock.
//
// Source: Linux 6.12 include/linux/kdev_t.h: 12 bits major, 20 bits minor.
func (m *Mount) Device() mounts.Device {
	return mounts.Device{Major: m.device >> 20, Minor: m.device & (1<<20 - 1)}
}

// room and answer are those of src/mounts.c.
const room = 2048

type answer struct {
	root, event             uint64
	count, told, more, torn uint32
	mounts                  [room]Mount
}

//go:embed mounts.o
var object []byte

// A Reader is the loaded program. One goroutine may use it at a time.
type Reader struct {
	*program
	answer     *answer
	unbindable uint32
	also       Also
	event      uint64 // of the namespace that was read last, as it was then
}

// Also is what is told of a mount, besides: each takes a quarter more time.
type Also uint64

// What can be told, as src/mounts.c has it.
const (
	Peers   Also = 1 << iota // how it propagates
	Sources                  // which have the same source
)

// Open loads the program. It fails as [Tasks] does.
func Open() (*Reader, error) {
	at, err := kernelLayout()
	if err != nil {
		return nil, err
	}
	at.Seed = rand.Uint64() // so who mounts cannot find two sources with one number
	p, err := load(object, "tells", &at.fields, unsafe.Sizeof(answer{}))
	if err != nil {
		return nil, err
	}
	return &Reader{program: p, answer: (*answer)(unsafe.Pointer(unsafe.SliceData(p.memory))), unbindable: at.unbindable}, nil
}

// Tell says what is to be told from now on, besides: nothing if it is not called.
func (r *Reader) Tell(also Also) { r.also = also }

// Close unloads the program.
func (r *Reader) Close() { r.close() }

// Unbindable reports whether a mount is.
func (r *Reader) Unbindable(m *Mount) bool { return m.propagation&r.unbindable != 0 }

// Mounts appends the mounts of the namespace with this descriptor to all, lowest id first,
// and returns the id of the one at its bottom. Unlike listmount it tells those that cannot
// be reached from the root, too.
//
// No lock is taken: where the kernel's counts tell that mounts came or went
// meanwhile, it reads again, and at last the error is [ErrTorn]. They tell it when a
// change is done, so what was read while one was at its end is known by [Reader.Still] only.
func (r *Reader) Mounts(namespace int, all []Mount) (told []Mount, bottom uint64, err error) {
	const tries = 5
	for range tries {
		told, err = r.pass(namespace, all)
		if !errors.Is(err, ErrTorn) {
			break
		}
	}
	r.event = r.answer.event
	return told, r.answer.root, err
}

// Event returns the kernel's count of changes of the namespace that [Reader.Mounts] read last.
func (r *Reader) Event() uint64 { return r.event }

// Still reports whether no mount of the namespace that [Reader.Mounts] read last, which this
// is the descriptor of, came, went or moved since that began. Between the two the
// caller must have taken the kernel's lock of all namespaces, as each
// statmount does: who makes a change holds it until the counts tell.
//
// Source: Linux 6.12 fs/namespace.c: commit_tree and umount_tree call touch_mnt_namespace
// at their end, below namespace_lock; statmount holds namespace_sem.
func (r *Reader) Still(namespace int) (bool, error) {
	const behindAll = 1<<64 - 1
	err := r.read(namespace, behindAll)
	return err == nil && r.answer.event == r.event, err
}

// pass reads the mounts once.
func (r *Reader) pass(namespace int, all []Mount) ([]Mount, error) {
	a, before := r.answer, len(all)
	after, event := uint64(0), uint64(0)
	for {
		if err := r.read(namespace, after); err != nil {
			return all[:before], err
		}
		if after > 0 && a.event != event {
			return all[:before], ErrTorn
		}
		event = a.event
		for i := range a.mounts[:min(a.told, room)] {
			if m := &a.mounts[i]; m.ID > after {
				after = m.ID
				all = append(all, *m)
			}
		}
		switch {
		case a.torn != 0 || a.more != 0 && a.told == 0:
			return all[:before], ErrTorn
		case a.more == 0 && uint32(len(all)-before) != a.count:
			return all[:before], ErrTorn
		case a.more == 0:
			return all, nil
		}
	}
}

// read has the program tell one page of mounts.
func (r *Reader) read(namespace int, after uint64) error {
	if returned, err := r.run([3]uint64{uint64(namespace), after, uint64(r.also)}); err != nil || returned == 0 {
		return err
	}
	return errors.New("the BPF program found no mount namespace")
}
