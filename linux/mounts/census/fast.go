package census

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/nsfs"
	"sexton.dev/linux/mounts/statmount"
	"sexton.dev/linux/mounts/timeslice"
)

// A fastReader asks listmount and statmount.
type fastReader struct {
	req     Request
	own     int    // the namespace that this process is in
	inode   uint64 // of own
	outside int    // another, to read own from: see [statmount.Caller.List]; -1: none
	blind   error  // why own is read from inside; nil if it is not
	known   map[uint64]mounts.Namespace
	caller  *statmount.Caller
	last    map[uint64][]mounts.Mount // of the pass before, by inode
	ids     []uint64                  // of one namespace, used again for the next
	all     []mounts.Mount            // as ids
	slice   timeslice.Slice
	supers  superblocks
	sources *sources
	walked  []mounts.Unknown // what a walk could not find, see each

	kernel   *kernelReader // nil: not worth its start, or noBPF says why not
	noBPF    error
	byKernel bool             // some namespaces were read by the kernelReader
	met      int              // mounts in this pass, as far as namespaces were found
	early    map[uint64]found // what the kernelReader has read of this pass, by the namespace's id

	// Of a question, used again for the next namespace.
	read  []entry
	told  []told
	mount mounts.Mount
}

func newFastReader(req Request) (*fastReader, error) {
	own, err := openOwn(req.Proc)
	if err != nil {
		return nil, err
	}
	r := &fastReader{req: req, own: own, outside: -1, known: map[uint64]mounts.Namespace{}, supers: superblocks{}, caller: statmount.NewCaller()}
	if r.inode, err = nsfs.Inode(own); err == nil {
		r.sources, err = newSources(req)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *fastReader) close() {
	unix.Close(r.own)
	if r.kernel != nil {
		r.kernel.Close()
	}
	r.sources.close()
	r.leave()
}

func (r *fastReader) leave() {
	if r.outside >= 0 {
		unix.Close(r.outside)
		r.outside = -1
	}
}

// pass reads the numbers of every mount of every namespace.
func (r *fastReader) pass(ctx context.Context) ([]mounts.Namespace, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	spaces, err := r.namespaces(ctx)
	if err != nil {
		return nil, err
	}
	gone := make([]bool, len(spaces))
	entries := make([][]entry, len(spaces)) // of a question
	err = r.forEach(ctx, spaces, func(i int) error {
		f, ok := r.early[spaces[i].ID]
		if !ok {
			var err error
			if f, err = r.find(spaces[i]); err != nil {
				return err
			}
		}
		spaces[i], entries[i], gone[i] = f.Namespace, f.entries, f.gone
		return nil
	})
	if err == nil && r.req.About != nil {
		err = r.answer(ctx, spaces, entries)
	}
	if err != nil {
		return nil, err
	}
	kept := spaces[:0]
	last := make(map[uint64][]mounts.Mount, len(spaces))
	for i := range spaces {
		if !gone[i] {
			kept = append(kept, spaces[i])
			last[spaces[i].Inode] = spaces[i].Mounts
		}
	}
	r.last = last
	return kept, nil
}

// A found namespace is one that was read.
type found struct {
	mounts.Namespace
	entries []entry // of a question
	gone    bool
}

// find reads the mounts of a namespace.
func (r *fastReader) find(ns mounts.Namespace) (f found, err error) {
	f.Namespace = ns
	if r.req.About == nil {
		err = r.list(&f.Namespace)
	} else {
		f.entries, err = r.entries(&f.Namespace)
	}
	if errors.Is(err, unix.ENOENT) {
		f.gone, err = true, nil
	}
	return f, err
}

// namespaces finds all of them, by inode, with the number of mounts in Hidden.
func (r *fastReader) namespaces(ctx context.Context) ([]mounts.Namespace, error) {
	r.leave()
	var spaces []mounts.Namespace
	fewest := 0
	err := r.each(ctx, func(fd int, info nsfs.Info) error {
		ns, err := r.identify(fd, info)
		if err != nil {
			return err
		}
		if ns.Inode != r.inode && (r.outside < 0 || info.Mounts < fewest) {
			other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("keep a mount namespace open: %w", err)
			}
			r.leave()
			r.outside, fewest = other, info.Mounts
		}
		if err := r.readEarly(fd, ns); err != nil {
			return err
		}
		spaces = append(spaces, ns)
		return ctx.Err()
	})
	if err != nil && !(errors.Is(err, unix.EPERM) && len(spaces) > 0) { // our own can be read still: see lacksPower
		return nil, err
	}
	slices.SortFunc(spaces, func(a, b mounts.Namespace) int { return cmp.Compare(a.Inode, b.Inode) })
	return spaces, nil
}

// identify returns a namespace without its mounts, of which the number is in Hidden, and
// learns their sources where statmount does not tell them.
func (r *fastReader) identify(fd int, info nsfs.Info) (ns mounts.Namespace, err error) {
	ns, ok := r.known[info.ID]
	if !ok {
		if ns.Inode, err = nsfs.Inode(fd); err != nil {
			return ns, err
		}
		ns.ID = info.ID
		if r.req.About == nil {
			ns.Owner, _ = nsfs.Owner(fd) // 0 says that it is not known
		}
		r.known[info.ID] = ns
	}
	ns.Hidden = info.Mounts
	if r.asksTexts() {
		r.sources.learn(fd, &ns)
	}
	return ns, nil
}

// forEach calls do for every namespace, one after the other: two at a time are
// sooner done and cost a fifth more, for they fight for the kernel's lock. The
// process's own comes first, as it will not end: what is told by its mounts, such as a
// superblock's strings, need not be read again. It is done from outside, where that
// is allowed.
func (r *fastReader) forEach(ctx context.Context, spaces []mounts.Namespace, do func(i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	own := slices.IndexFunc(spaces, func(ns mounts.Namespace) bool { return ns.Inode == r.inode })
	if own >= 0 {
		if err := r.fromOutside(func() error { return do(own) }); err != nil {
			return err
		}
	}
	for i := range spaces {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i == own {
			continue
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

func (r *fastReader) fromOutside(call func() error) error {
	if r.outside < 0 {
		r.blind = errors.New("there is no other namespace to read it from")
		return call()
	}
	entered := false
	err := nsfs.Inside(r.outside, func() error {
		entered = true
		return call()
	})
	if !entered {
		r.blind = err
		return call()
	}
	return err
}

// list fills ns.Mounts with numbers, and with strings if they are to come along.
// Those of nsfs's mounts are few and say what they bind, so they always come.
func (r *fastReader) list(ns *mounts.Namespace) error {
	read := r.numbers
	if r.withTexts() {
		read = r.whole
	}
	all, err := eachMount(r, ns, r.all, func(_ int, id uint64, m *mounts.Mount) error {
		_, err := read(ns.ID, id, m)
		return err
	})
	if err != nil {
		return err
	}
	r.all = all
	r.keep(ns)
	return nil
}

// withTexts reports whether strings come along in this pass: they cost more than numbers,
// and are to be as new as these.
func (r *fastReader) withTexts() bool { return r.req.Whole && (r.last != nil || r.req.Passes == 1) }

// asksTexts reports whether the strings of some mounts are read in this pass.
func (r *fastReader) asksTexts() bool { return r.req.About != nil || r.withTexts() }

// keep gives a namespace the mounts that were read. Where nothing moves, a host's are kept once.
func (r *fastReader) keep(ns *mounts.Namespace) {
	ns.Mounts = r.last[ns.Inode]
	if !slices.EqualFunc(ns.Mounts, r.all, same) {
		ns.Mounts = slices.Clone(r.all)
	}
	copy(ns.Mounts, r.all)
}

// eachMount reads the mounts of a namespace, one after the other, into the room of those of
// the namespace before: what stood at a place there is what read finds in it. What
// vanishes meanwhile is left out.
func eachMount[T any](r *fastReader, ns *mounts.Namespace, room []T, read func(place int, id uint64, into *T) error) ([]T, error) {
	ids, err := r.caller.List(ns.ID, r.ids[:0])
	if err != nil {
		return nil, err
	}
	r.ids = ids
	all := slices.Grow(room[:cap(room)], max(0, len(ids)-cap(room)))[:0]
	for _, id := range ids {
		place := len(all)
		all = all[:place+1]
		if err := read(place, id, &all[place]); err != nil {
			all = all[:place]
			if !errors.Is(err, unix.ENOENT) {
				return nil, err
			}
		}
	}
	r.slice.Yield()
	ns.Hidden = max(0, ns.Hidden-len(all))
	return all, nil
}

const ofNumbers = statmount.Device | statmount.Basic

// numbers reads those of a mount; of one of nsfs also what it binds.
func (r *fastReader) numbers(ns, id uint64, m *mounts.Mount) (magic uint64, err error) {
	if m.Root != "" || m.Type != "" { // of the one that was read into it before
		*m = mounts.Mount{}
	}
	_, magic, err = r.caller.Stat(ns, id, ofNumbers, m)
	if err == nil && magic == mounts.NamespaceMagic {
		_, _, err = r.caller.Stat(ns, id, statmount.Root|statmount.Point|statmount.Type, m)
	}
	return magic, err
}

// place reads the numbers of a mount and the strings that are its own.
func (r *fastReader) place(ns, id uint64, m *mounts.Mount) (magic uint64, err error) {
	_, magic, err = r.caller.Stat(ns, id, ofNumbers|statmount.Root|statmount.Point|statmount.Source, m)
	if err == nil {
		r.sources.complete(ns, m)
	}
	return magic, err
}

// whole reads the numbers and the strings of a mount. Where m is the mount of another
// namespace at the same place, its texts are most likely the same, and are kept.
func (r *fastReader) whole(ns, id uint64, m *mounts.Mount) (magic uint64, err error) {
	*m = mounts.Mount{Root: m.Root, MountPoint: m.MountPoint, Source: m.Source}
	if magic, err = r.place(ns, id, m); err != nil {
		return magic, err
	}
	from, err := r.superOf(ns, magic, m)
	if err == nil {
		from.describe(m)
	}
	return magic, err
}

// unknown says what this way cannot see here.
func (r *fastReader) unknown(c *Census) (out []mounts.Unknown) {
	if why := lacksPower(r.req.Proc); why != "" {
		out = append(out, mounts.Unknown{What: "mount namespaces of other users", Why: why})
	}
	out = append(out, r.walked...)
	if r.blind != nil {
		out = append(out, mounts.Unknown{What: fmt.Sprintf("mounts of mnt:[%d] that are not below the root directory of this process", r.inode), Why: r.blind.Error()})
	}
	for _, ns := range c.Namespaces {
		if ns.Hidden > 0 && !slices.Contains(c.Moving, ns.Inode) {
			out = append(out, mounts.Unknown{What: fmt.Sprintf("%d mounts of mnt:[%d]", ns.Hidden, ns.Inode), Why: "the kernel counts them, but they are not below the root of the namespace"})
		}
	}
	return append(out, r.sources.unknown()...)
}
