package census

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
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
	byTexts := r.req.About.Asked != nil
	all, err := eachMount(r, ns, r.read, func(place int, id uint64, e *entry) error {
		if !byTexts {
			return r.byNumbers(ns.ID, id, e)
		}
		if place == len(r.told) {
			r.told = append(r.told, told{})
		}
		return r.byTexts(ns.ID, id, &r.told[place], e)
	})
	if err != nil {
		return nil, err
	}
	r.read = all
	return r.rest(all), nil
}

// rest is what must be kept of a namespace's entries, which are lost.
func (r *fastReader) rest(all []entry) []entry {
	if r.req.About.Asked != nil {
		return slices.Clone(all)
	}
	return some(all)
}

// some are those of a namespace's entries that cannot be forgotten at once where it is
// known already what is asked about. What all had is lost.
func some(all []entry) []entry {
	if !slices.ContainsFunc(all, func(e entry) bool { return e.asked || e.binds || e.overlay }) {
		return nil
	}
	asked := devices{}
	asked.add(all)
	asked.mark(all)
	return slices.Clone(slices.DeleteFunc(all, func(e entry) bool { return !e.stays && !e.overlay }))
}

func (r *fastReader) byNumbers(ns, id uint64, e *entry) error {
	m := &r.mount
	magic, err := r.numbers(ns, id, m)
	if err != nil {
		return err
	}
	*e = entryOf(m)
	e.asked = r.req.About.Device(e.device)
	e.overlay = magic == mounts.OverlayMagic
	return nil
}

func (r *fastReader) byTexts(ns, id uint64, t *told, e *entry) error {
	root, point, source, from := t.Root, t.MountPoint, t.Source, t.from
	magic, err := r.place(ns, id, &t.Mount)
	if err == nil && (from == nil || from.of != superblock{t.Device(), t.Root, magic}) {
		t.from, err = r.superOf(ns, magic, &t.Mount)
	}
	if err != nil {
		return err
	}
	if t.from != from || t.Root != root || t.MountPoint != point || t.Source != source {
		t.judge(r.req.About)
	}
	*e = entryOf(&t.Mount)
	e.asked, e.near = t.asked, t.near
	e.overlay = magic == mounts.OverlayMagic
	return nil
}

// judge asks the question about a mount that has its superblock's strings from now on.
func (t *told) judge(q *Question) {
	t.from.describe(&t.Mount)
	if q == nil || q.Asked == nil {
		return
	}
	t.asked = q.Device != nil && q.Device(t.Device()) || q.Asked(&t.Mount)
	t.near = q.Near != nil && q.Near(&t.Mount)
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
		asked[key.device] = true
	}
	err = r.forEach(ctx, spaces, func(i int) error {
		asked.mark(entries[i])
		for _, e := range entries[i] {
			if !e.stays {
				continue
			}
			if err := r.take(&spaces[i], e.id, nil); err != nil {
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
		for _, e := range entries[i] {
			if e.stays || !e.overlay {
				continue
			}
			if known, may := l.known(e.device); known && !may {
				continue
			}
			if err := r.take(&spaces[i], e.id, l.stays); err != nil {
				return err
			}
		}
		slices.SortFunc(spaces[i].Mounts, func(a, b mounts.Mount) int { return cmp.Compare(a.UniqueID, b.UniqueID) }) // as the kernel lists them
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
