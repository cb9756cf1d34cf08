package census

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/bpf"
)

// A kernelReader has the numbers of mounts from the kernel's own tree, and tells which
// have the same texts: a mount in a copy of a namespace has the same root, on the same
// directory, on such a mount.
//
// It goes by addresses, which the kernel may use again for something else. What a pass
// makes of one is right all the same: a question reads again what stays, and a whole census
// goes on until two passes are equal, where a mount that has come since is in one alone.
type kernelReader struct {
	*bpf.Reader
	mounts  []bpf.Mount // of the namespace at hand
	classes []int32     // of each of those, or one of the below
	places  []place     // of each of those, and of the namespace before where they are not known yet
	known   map[kin]int32
	told    []told // by class
}

// Instead of a class.
const (
	unknownYet = -2
	notListed  = -1 // by listmount: it is not below the root
)

// A kin is what mounts have in common that have the same texts.
type kin struct {
	root, point uint64
	on          int32 // the class of what it is mounted on; notListed of the root
	device      mounts.Device
	magic       uint32
}

// A place is what was found at one place of a namespace's list: a copy has the same there.
type place struct {
	kin
	class, parent int32
}

func newKernelReader() (*kernelReader, error) {
	r, err := bpf.Open()
	if err != nil {
		return nil, err
	}
	return &kernelReader{Reader: r}, nil
}

// forget begins a pass.
func (k *kernelReader) forget() {
	k.known, k.told, k.places = map[kin]int32{}, nil, k.places[:0]
}

// read reads the numbers of a namespace's mounts and finds their classes. ENOENT: it
// has none that listmount would list.
func (k *kernelReader) read(fd int) error {
	all, bottom, err := k.Mounts(fd, k.mounts[:0])
	k.mounts = all
	if err != nil {
		return err
	}
	root := rootOf(all, bottom)
	if root < 0 {
		return unix.ENOENT
	}
	k.classes = slices.Grow(k.classes[:0], len(all))[:len(all)]
	for i := range k.classes {
		k.classes[i] = unknownYet
	}
	for len(k.places) < len(all) {
		k.places = append(k.places, place{class: notListed})
	}
	k.classes[root] = k.class(root, notListed)
	for i := range all {
		k.classify(i)
	}
	return nil
}

// rootOf finds the mount below which listmount lists: the first that was mounted on the
// bottom one, as on the kernel's first root file system.
//
// Source: Linux 6.12 fs/namespace.c, grab_requested_root.
func rootOf(all []bpf.Mount, bottom uint64) int {
	return slices.IndexFunc(all, func(m bpf.Mount) bool { return m.Parent == bottom && m.ID > bottom })
}

// classify finds the class of a mount, and before it of those that it is on.
func (k *kernelReader) classify(i int) int32 {
	if k.classes[i] != unknownYet {
		return k.classes[i]
	}
	k.classes[i] = notListed
	parent := k.parent(i)
	if parent < 0 {
		return notListed
	}
	if on := k.classify(parent); on != notListed {
		k.classes[i] = k.class(i, on)
	}
	return k.classes[i]
}

// parent finds the place of what a mount is on.
func (k *kernelReader) parent(i int) int {
	id, at := k.mounts[i].Parent, int(k.places[i].parent)
	if at < len(k.mounts) && k.mounts[at].ID == id {
		return at
	}
	at, ok := slices.BinarySearchFunc(k.mounts, id, func(m bpf.Mount, id uint64) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return -1
	}
	k.places[i].parent = int32(at)
	return at
}

func (k *kernelReader) class(i int, on int32) int32 {
	m, was := &k.mounts[i], &k.places[i]
	is := kin{m.Root, m.Point, on, m.Device(), m.Magic}
	if was.kin == is && was.class != notListed {
		return was.class
	}
	class, ok := k.known[is]
	if !ok {
		class = int32(len(k.told))
		k.known[is] = class
		k.told = append(k.told, told{})
	}
	was.kin, was.class = is, class
	return class
}
