package bpf

import (
	"fmt"
	"slices"

	"sexton.dev/linux/btf"
)

// A layout tells where the kernel that runs has what src/mounts.c reads.
type layout struct {
	fields
	unbindable uint32 // the bit of a mount's propagation
}

// fields are bytes from the beginning of each struct: the constant "at" of src/mounts.c.
type fields struct {
	TaskFiles, FilesFDT, FDTMax, FDTFD, FileInode, InodePrivate                   uint32
	NSCommon, NSRoot, NSMounts, NSEvent, NSCount                                  uint32
	Node, Parent, Point, Root, SB, ID, Unique, Group, Master, Propagation, Source uint32
	SBDevice, SBMagic                                                             uint32
	Place, PlaceSize, IDs, IDsSize, Super, SuperSize                              uint32
	Seed                                                                          uint64
}

// kernelLayout reads it from the types of the kernel that runs.
//
// Source: Linux 6.12 and 6.18 fs/mount.h; include/linux/{mount,fs,fdtable,sched,rbtree}.h.
func kernelLayout() (l layout, err error) {
	err = find(l.all(), func(types *btf.Types) error {
		inside, err := types.Offset("mount", "mnt")
		if err != nil {
			return err
		}
		for _, into := range []*uint32{&l.Root, &l.SB, &l.Propagation} {
			*into += inside
		}
		l.unbindable = 0x2000 // MNT_UNBINDABLE
		if at, err := types.Offset("mount", "mnt_t_flags"); err == nil {
			l.Propagation, l.unbindable = at, 2 // T_UNBINDABLE of Linux 6.17
		}
		return l.split()
	})
	return l, err
}

// find looks up where fields are, and calls more with the types of their structs.
func find(all []field, more func(*btf.Types) error) error {
	var structs []string
	for _, f := range all {
		structs = append(structs, f.of)
	}
	return btf.Kernel(structs, nil, func(types *btf.Types) (err error) {
		for _, f := range all {
			if *f.into, err = types.Offset(f.of, f.member); err != nil {
				return err
			}
		}
		return more(types)
	})
}

type field struct {
	into       *uint32
	of, member string
}

func (l *layout) all() []field {
	return []field{
		{&l.TaskFiles, "task_struct", "files"}, {&l.FilesFDT, "files_struct", "fdt"}, {&l.FDTMax, "fdtable", "max_fds"}, {&l.FDTFD, "fdtable", "fd"},
		{&l.FileInode, "file", "f_inode"}, {&l.InodePrivate, "inode", "i_private"},
		{&l.NSCommon, "mnt_namespace", "ns"}, {&l.NSRoot, "mnt_namespace", "root"}, {&l.NSMounts, "mnt_namespace", "mounts"},
		{&l.NSEvent, "mnt_namespace", "event"}, {&l.NSCount, "mnt_namespace", "nr_mounts"},
		{&l.Node, "mount", "mnt_node"}, {&l.Parent, "mount", "mnt_parent"}, {&l.Point, "mount", "mnt_mountpoint"},
		{&l.ID, "mount", "mnt_id"}, {&l.Unique, "mount", "mnt_id_unique"}, {&l.Group, "mount", "mnt_group_id"}, {&l.Master, "mount", "mnt_master"},
		{&l.Root, "vfsmount", "mnt_root"}, {&l.SB, "vfsmount", "mnt_sb"}, {&l.Propagation, "vfsmount", "mnt_flags"},
		{&l.Source, "mount", "mnt_devname"}, {&l.SBDevice, "super_block", "s_dev"}, {&l.SBMagic, "super_block", "s_magic"},
	}
}

// split finds the parts that are copied at once.
func (l *layout) split() error {
	const most = 128 // half of ROOM_OF_PART
	part := func(last uint32, at ...uint32) (begin, size uint32) {
		return slices.Min(at), slices.Max(at) + last - slices.Min(at)
	}
	l.Place, l.PlaceSize = part(24, l.Node, l.Parent, l.Point, l.Root, l.SB)
	l.IDs, l.IDsSize = part(8, l.ID, l.Unique)
	l.Super, l.SuperSize = part(8, l.SBDevice, l.SBMagic)
	if size := max(l.PlaceSize, l.IDsSize, l.SuperSize); size > most {
		return fmt.Errorf("what is read of a mount is %d bytes apart in this kernel", size)
	}
	return nil
}
