package census

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/statmount"
)

// A told is a mount as the last namespace had it at one place of its list: in a
// copy of that the next one has the same there, and what was found holds again.
type told struct {
	mounts.Mount
	from        *super
	asked, near bool
}

// entries reads the mounts of one namespace as far as the question needs it to know which stay.
func (r *fastReader) entries(ns *mounts.Namespace) ([]entry, error) {
	ids, err := r.caller.List(ns.ID, r.ids[:0])
	if err != nil {
		return nil, err
	}
	r.ids = ids
	byTexts := r.req.About.Asked != nil
	if byTexts {
		r.told = append(r.told, make([]told, max(0, len(ids)-len(r.told)))...)
	}
	r.read = slices.Grow(r.read[:0], len(ids))
	for i, id := range ids {
		r.read = r.read[:len(r.read)+1]
		e := &r.read[len(r.read)-1]
		if byTexts {
			err = r.byTexts(ns.ID, id, &r.told[i], e)
		} else {
			err = r.byNumbers(ns.ID, id, e)
		}
		if err != nil {
			r.read = r.read[:len(r.read)-1]
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}
	r.slice.Yield()
	ns.Hidden = max(0, ns.Hidden-len(r.read))
	if byTexts {
		return slices.Clone(r.read), nil
	}
	return some(r.read), nil
}

// some are those of a namespace's entries that cannot be forgotten at once where it is
// known already what is asked about. It uses the place that they are in.
func some(all []entry) []entry {
	if !slices.ContainsFunc(all, func(e entry) bool { return e.asked || e.binds || e.overlay }) {
		return nil
	}
	asked := devices{}
	asked.add(all)
	stay := asked.stay(all)
	kept := all[:0]
	for i := range all {
		if _, stays := slices.BinarySearch(stay, i); stays || all[i].overlay {
			kept = append(kept, all[i])
		}
	}
	return slices.Clone(kept)
}

func (r *fastReader) byNumbers(ns, id uint64, e *entry) error {
	m := &r.mount
	magic, err := r.numbers(ns, id, m)
	if err != nil {
		return err
	}
	*e = entryOf(m)
	e.asked = r.req.About.Device(e.Device)
	e.overlay = magic == mounts.OverlayMagic
	_, e.binds = mounts.BoundNamespace(m)
	return nil
}

func (r *fastReader) byTexts(ns, id uint64, t *told, e *entry) error {
	root, point, from := t.Root, t.MountPoint, t.from
	_, magic, err := r.caller.Stat(ns, id, ofNumbers|statmount.Root|statmount.Point, &t.Mount)
	if err == nil && (from == nil || from.superblock != superblock{t.Device(), t.Root, magic}) {
		t.from, err = r.supers.of(r.caller, ns, magic, &t.Mount)
	}
	if err != nil {
		return err
	}
	q := r.req.About
	*e = entryOf(&t.Mount)
	if t.from != from || t.Root != root || t.MountPoint != point {
		t.from.describe(&t.Mount)
		t.asked = q.Device != nil && q.Device(e.Device) || q.Asked(&t.Mount)
		t.near = q.Near != nil && q.Near(&t.Mount)
	}
	e.asked, e.near = t.asked, t.near
	e.overlay = magic == mounts.OverlayMagic
	_, e.binds = mounts.BoundNamespace(&t.Mount)
	return nil
}

// answer fills the namespaces with what the question is about.
func (r *fastReader) answer(ctx context.Context, spaces []mounts.Namespace, entries [][]entry) error {
	asked := devices{}
	for i := range entries {
		asked.add(entries[i])
	}
	torn, err := r.torn(ctx, spaces)
	if err != nil {
		return err
	}
	for key := range torn { // what was asked of its mounts may be another's texts: see recheck
		asked[key.Device] = true
	}
	kept := make([][]int, len(spaces))
	err = r.forEach(ctx, spaces, func(i int) error {
		kept[i] = asked.stay(entries[i])
		for _, k := range kept[i] {
			if err := r.take(&spaces[i], entries[i][k].id, nil); err != nil {
				return err
			}
		}
		return nil
	})
	l := newLayering(r.req.About, asked.points(spaces))
	if err != nil || l.idle() {
		return err
	}
	return r.forEach(ctx, spaces, func(i int) error {
		l.next()
		for k, e := range entries[i] {
			if _, has := slices.BinarySearch(kept[i], k); has || !e.overlay {
				continue
			}
			if known, may := l.known(e.Device); known && !may {
				continue
			}
			if err := r.take(&spaces[i], e.id, l.stays); err != nil {
				return err
			}
		}
		return nil
	})
}

// take reads a mount whole and puts it to its namespace, if it is there still and is wanted.
func (r *fastReader) take(ns *mounts.Namespace, id uint64, want func(*mounts.Mount) bool) error {
	var m mounts.Mount
	_, err := r.whole(ns.ID, id, &m)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil && (want == nil || want(&m)) {
		ns.Mounts = append(ns.Mounts, m)
	}
	return err
}
