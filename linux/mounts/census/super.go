package census

import (
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/statmount"
)

// A superblock is what the strings of a file system depend on: some write the
// mounted part into their options (btrfs). The magic number is
// for a device number that is used again while we read.
type superblock struct {
	device mounts.Device
	root   string
	magic  uint64
}

// anyMagic is the key without what is known only while a mount is read.
func (s superblock) anyMagic() superblock { s.magic = 0; return s }

// A super is what the strings of a superblock are, and by which mount they were read.
type super struct {
	of            superblock
	kind, options string
	namespace, id uint64
	lives         bool // that mount was there still at the end
}

// superblocks keeps the strings that were read: they cost more than all the rest.
type superblocks map[superblock]*super

// superOf returns the strings of the superblock of a mount whose root is known.
func (r *fastReader) superOf(ns, magic uint64, m *mounts.Mount) (*super, error) {
	key := superblock{m.Device(), m.Root, magic}
	from, ok := r.supers[key]
	if !ok {
		kind, options, err := r.superStrings(ns, m)
		if err != nil {
			return nil, err
		}
		from = &super{of: key, kind: kind, options: options, namespace: ns, id: m.UniqueID}
		r.supers[key] = from
	}
	return from, nil
}

// superStrings reads the type and the options of the superblock of a mount.
func (r *fastReader) superStrings(ns uint64, m *mounts.Mount) (kind, options string, err error) {
	const fields = statmount.Device | statmount.Type | statmount.Subtype | statmount.Super
	var told mounts.Mount
	if _, _, err := r.caller.Stat(ns, m.UniqueID, fields, &told); err != nil {
		return "", "", err
	}
	return r.sources.kind(ns, m, told.Type), told.Super, nil
}

// describe fills the strings of a mount of the superblock.
func (s *super) describe(m *mounts.Mount) { m.Type, m.Super = s.kind, s.options }

// devices are the numbers of all.
func (s superblocks) devices() (out []mounts.Device) {
	for key := range s {
		out = append(out, key.device)
	}
	return out
}
