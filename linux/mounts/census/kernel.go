package census

import (
	"cmp"
	"errors"
	"slices"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/bpf"
)

// A kernelReader has the numbers of mounts from the kernel's own tree, and tells which
// have the same texts: a mount in a copy of a namespace has the same root and source, on the
// same directory, on such a mount.
//
// It goes by addresses, which the kernel may use again for something else, though not
// while a mount is there. So what is found is right for a mount that stood still since
// the pass began: see [kernelReader.stood]. One that did not is read by statmount, in a
// pass that tells texts, or it is new, and then two passes differ.
type kernelReader struct {
	*bpf.Reader
	mounts  []bpf.Mount // of the namespace at hand
	classes []int32     // of each of those, or one of the below
	places  []place     // of each of those, and of the namespace before where they are not known yet
	known   map[kin]int32
	told    []told  // by class
	learned []int32 // classes of which texts were asked for in the namespace at hand
	chain   []int   // see classify

	events, before map[uint64]uint64 // of this pass and the last, by the namespace's id
}

// Instead of a class.
const (
	unknownYet = -2
	notListed  = -1 // by listmount: it is not below the root
)

// A kin is what mounts have in common that have the same texts.
type kin struct {
	root, point uint64
	source      uint64
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

// errRoot is the error of a namespace of which listmount is better asked.
var errRoot = errors.New("no mount is at the root, or which one is depends on the kernel's version")

// forget begins a pass.
func (k *kernelReader) forget() {
	k.known, k.told, k.places = map[kin]int32{}, nil, k.places[:0]
	k.before, k.events = k.events, map[uint64]uint64{}
}

// stood reports whether no mount of the namespace at hand came, went or moved since it
// was read: in this pass, or in the one before if there was one. Statmount was asked
// for one of its mounts meanwhile.
func (k *kernelReader) stood(fd int, id uint64) bool {
	still, err := k.Still(fd)
	k.events[id] = k.Event()
	before, known := k.before[id]
	return err == nil && still && (!known || before == k.Event())
}

// unlearn forgets the texts that were asked for in the namespace at hand: a mount that moved
// after it was read is told where another class is.
func (k *kernelReader) unlearn() {
	for _, class := range k.learned {
		k.told[class] = told{}
	}
}

// read reads the numbers of a namespace's mounts and finds their classes.
func (k *kernelReader) read(fd int) error {
	all, bottom, err := k.Mounts(fd, k.mounts[:0])
	k.mounts, k.learned = all, k.learned[:0]
	if err != nil {
		return err
	}
	root := rootOf(all, bottom)
	if root < 0 {
		return errRoot
	}
	k.classifyAll(root)
	return nil
}

// classifyAll finds the classes of the namespace's mounts.
func (k *kernelReader) classifyAll(root int) {
	all := k.mounts
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
}

// rootOf finds the mount below which listmount lists: the first that was mounted on the
// bottom one, as on the kernel's first root file system; -1 where there is none.
//
// A kernel after Linux 6.18 takes one with a lower id than the bottom one's as well, as
// move_mount(2) can put there: then it is -1, too.
//
// Source: Linux 6.12 and 6.18 fs/namespace.c, grab_requested_root; its patch of January
// 2026, "If the root of the namespace has an id that's greater than the child".
func rootOf(all []bpf.Mount, bottom uint64) int {
	at := slices.IndexFunc(all, func(m bpf.Mount) bool { return m.Parent == bottom && m.ID != bottom })
	if at >= 0 && all[at].ID < bottom {
		return -1
	}
	return at
}

// classify finds the class of a mount, and before it of those that it is on, which can
// be as many as there are mounts.
func (k *kernelReader) classify(i int) {
	k.chain = k.chain[:0]
	for i >= 0 && k.classes[i] == unknownYet {
		k.classes[i] = notListed // as it stays where mounts are on each other in a circle, or the last on none
		k.chain = append(k.chain, i)
		i = k.parent(i)
	}
	if i < 0 || k.classes[i] == notListed {
		return
	}
	for _, above := range slices.Backward(k.chain) {
		k.classes[above] = k.class(above, k.classes[i])
		i = above
	}
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
	is := kin{m.Root, m.Point, m.Source, on, m.Device(), m.Magic}
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
