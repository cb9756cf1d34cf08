package bpf

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A layout tells where the kernel that runs has what src/mounts.c reads.
type layout struct {
	fields
	unbindable uint32 // the bit of a mount's propagation
}

// fields are bytes from the beginning of each struct: the constant "at" of src/mounts.c.
type fields struct {
	TaskFiles, FilesFDT, FDTMax, FDTFD, FileInode, InodePrivate           uint32
	NSCommon, NSRoot, NSMounts, NSEvent, NSCount                          uint32
	Near, NearSize, Far, FarSize                                          uint32
	Node, Parent, Point, Root, SB, ID, Unique, Group, Master, Propagation uint32
	SBDevice, SBMagic                                                     uint32
}

// layoutOf reads it from the kernel's types.
//
// Source: Linux 6.12 and 6.18 fs/mount.h; include/linux/{mount,fs,fdtable,sched,rbtree}.h.
func layoutOf(text []byte) (l layout, err error) {
	t, err := parseTypes(text, []string{"task_struct", "files_struct", "fdtable", "file", "inode", "mnt_namespace", "mount", "vfsmount", "super_block"})
	if err != nil {
		return l, err
	}
	for _, f := range []struct {
		into         *uint32
		name, member string
	}{
		{&l.TaskFiles, "task_struct", "files"}, {&l.FilesFDT, "files_struct", "fdt"},
		{&l.FDTMax, "fdtable", "max_fds"}, {&l.FDTFD, "fdtable", "fd"},
		{&l.FileInode, "file", "f_inode"}, {&l.InodePrivate, "inode", "i_private"},
		{&l.NSCommon, "mnt_namespace", "ns"}, {&l.NSRoot, "mnt_namespace", "root"}, {&l.NSMounts, "mnt_namespace", "mounts"},
		{&l.NSEvent, "mnt_namespace", "event"}, {&l.NSCount, "mnt_namespace", "nr_mounts"},
		{&l.Node, "mount", "mnt_node"}, {&l.Parent, "mount", "mnt_parent"}, {&l.Point, "mount", "mnt_mountpoint"},
		{&l.ID, "mount", "mnt_id"}, {&l.Unique, "mount", "mnt_id_unique"}, {&l.Group, "mount", "mnt_group_id"}, {&l.Master, "mount", "mnt_master"},
		{&l.Root, "vfsmount", "mnt_root"}, {&l.SB, "vfsmount", "mnt_sb"}, {&l.Propagation, "vfsmount", "mnt_flags"},
		{&l.SBDevice, "super_block", "s_dev"}, {&l.SBMagic, "super_block", "s_magic"},
	} {
		if *f.into, err = t.offset(f.name, f.member); err != nil {
			return l, err
		}
	}
	inside, err := t.offset("mount", "mnt")
	if err != nil {
		return l, err
	}
	for _, into := range []*uint32{&l.Root, &l.SB, &l.Propagation} {
		*into += inside
	}
	l.unbindable = 0x2000 // MNT_UNBINDABLE
	if at, err := t.offset("mount", "mnt_t_flags"); err == nil {
		l.Propagation, l.unbindable = at, 2 // T_UNBINDABLE of Linux 6.17
	}
	return l, l.split()
}

// split finds two parts of struct mount that have all that is read of it: the less
// is between them, the less is copied.
func (l *layout) split() error {
	const longest, room = 8, 512 // of a field; of "raw" in src/mounts.c
	at := []uint32{l.Parent, l.Point, l.Root, l.SB, l.ID, l.Unique, l.Group, l.Master, l.Propagation}
	slices.Sort(at)
	first, last := at[0], at[len(at)-1]
	widest := 1
	for i := range at {
		if i > 0 && at[i]-at[i-1] > at[widest]-at[widest-1] {
			widest = i
		}
	}
	l.Near, l.NearSize = first, at[widest-1]+longest-first
	l.Far, l.FarSize = at[widest], last+longest-at[widest]
	if last+longest > room {
		return fmt.Errorf("the kernel's struct mount has fields at %d bytes", last)
	}
	return nil
}

// kernelLayout is that of the kernel that runs.
func kernelLayout() (layout, error) {
	text, err := kernelTypes()
	if err != nil {
		return layout{}, err
	}
	defer unix.Munmap(text)
	return layoutOf(text)
}

// kernelTypes maps the kernel's BTF, or reads it where that is not possible (before Linux 6.16).
func kernelTypes() ([]byte, error) {
	const path = "/sys/kernel/btf/vmlinux"
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const most = 256 << 20
	size := int(info.Size())
	if size <= 0 || size > most {
		return nil, fmt.Errorf("%s has %d bytes", path, size)
	}
	if text, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE); err == nil {
		return text, nil
	}
	text, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(text, 0); err != nil {
		unix.Munmap(text)
		return nil, err
	}
	return text, nil
}
