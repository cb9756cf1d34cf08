package census

import (
	"sexton.dev/linux/mounts"
	"sexton.dev/linux/mounts/statmount"
)

// A superblock is what the strings of a file system depend on: some write the
// mounted part into their source or options (NFS, btrfs). The magic number is
// for a device number that is used again while we read.
type superblock struct {
	major, minor uint32
	root         string
	magic        uint64
}

// anyMagic is the key without what is known only while a mount is read.
func (s superblock) anyMagic() superblock { s.magic = 0; return s }

// A super is what the strings of a superblock are, and by which mount they were read.
type super struct {
	kind, source, options string
	namespace, id         uint64
	lives                 bool // that mount was there still at the end
}

// superblocks keeps the strings that were read: they cost more than all the rest.
type superblocks map[superblock]*super

// superStrings are the fields that depend on the superblock alone.
const superStrings = statmount.Device | statmount.Type | statmount.Subtype | statmount.Source | statmount.Super

// add fills the strings of the superblock of a mount whose root is known.
func (s superblocks) add(c *statmount.Caller, ns, magic uint64, m *mounts.Mount) error {
	key := superblock{m.Major, m.Minor, m.Root, magic}
	from, ok := s[key]
	if !ok {
		var told mounts.Mount
		if _, _, err := c.Stat(ns, m.UniqueID, superStrings, &told); err != nil {
			return err
		}
		from = &super{kind: told.Type, source: told.Source, options: told.Super, namespace: ns, id: m.UniqueID}
		s[key] = from
	}
	m.Type, m.Source, m.Super = from.kind, from.source, from.options
	return nil
}
