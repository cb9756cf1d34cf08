package census

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/statmount"
)

// recheck reads again what may have the strings of another file system. They are
// read once for each device number, and the number of one that has gone is used
// again at once. If the mount by which they were read still lives, all that had
// its number since then was of its superblock.
func (r *fastReader) recheck(ctx context.Context, spaces []mounts.Namespace) error {
	torn, err := r.torn(ctx, spaces)
	if err != nil || len(torn) == 0 {
		return err
	}
	return r.forEach(ctx, spaces, func(i int) error { return r.reread(&spaces[i], torn) })
}

// torn are the superblocks whose strings may be those of others.
func (r *fastReader) torn(ctx context.Context, spaces []mounts.Namespace) (map[superblock]bool, error) {
	if len(r.supers) == 0 {
		return nil, nil
	}
	bySpace := map[uint64][]*super{}
	for _, s := range r.supers {
		s.lives = false // in an earlier pass it may have lived, in a namespace that is gone now
		bySpace[s.namespace] = append(bySpace[s.namespace], s)
	}
	err := r.forEach(ctx, spaces, func(i int) error {
		for _, s := range bySpace[spaces[i].ID] {
			var m mounts.Mount
			_, _, err := r.caller.Stat(spaces[i].ID, s.id, statmount.Device, &m)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
			s.lives = err == nil
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	torn := map[superblock]bool{}
	for key, s := range r.supers {
		if !s.lives {
			torn[key.anyMagic()] = true
		}
	}
	return torn, nil
}

// reread reads the strings of each mount of a torn superblock by itself. One that
// is gone now is left out.
func (r *fastReader) reread(ns *mounts.Namespace, torn map[superblock]bool) error {
	var failed error
	kept := ns.Mounts[:0]
	for _, m := range ns.Mounts {
		if m.Type != "" && torn[superblock{m.Device(), m.Root, 0}] {
			var err error
			m.Type, m.Super, err = r.superStrings(ns.ID, &m)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			failed = errors.Join(failed, err)
		}
		kept = append(kept, m)
	}
	ns.Mounts = kept
	return failed
}
