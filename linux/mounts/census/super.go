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

// superblocks keeps the strings that were read: they cost more than all the rest.
type superblocks struct {
	texts   map[superblock]mounts.Mount
	sources map[superblock]source // by which mount each was read
}

// superStrings are the fields that depend on the superblock alone.
const superStrings = statmount.Device | statmount.Type | statmount.Subtype | statmount.Source | statmount.Super

// add fills the strings of the superblock of a mount whose root is known.
func (s *superblocks) add(c *statmount.Caller, ns, magic uint64, m *mounts.Mount) error {
	key := superblock{m.Major, m.Minor, m.Root, magic}
	from, ok := s.texts[key]
	if !ok {
		if _, _, err := c.Stat(ns, m.UniqueID, superStrings, &from); err != nil {
			return err
		}
		s.texts[key], s.sources[key] = from, source{ns, m.UniqueID}
	}
	m.Type, m.Source, m.Super = from.Type, from.Source, from.Super
	return nil
}
