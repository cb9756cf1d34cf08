package bpfiter

import "sexton.dev/linux/btf"

// A layout is where the kernel that runs has what src/keepers.c reads: its constant "at".
type layout struct {
	TaskPID, TaskTGID, TaskGroupLeader, TaskFS, TaskFiles, TaskMM uint32
	FSRoot, FSPwd                                                 uint32
	FilesFDT, FDTableMaxFDs, FDTableFD                            uint32
	MMExeFile, MMMapCount, VMAVMFile                              uint32
	FileFPath, BackingUserPath, PathMnt, PathDentry               uint32
	MountMntSB, DentryDSB, DentryDName, QStrName                  uint32
	SBDev, SBFlags, SBMagic                                       uint32
}

// target is the function that stands for the iterator of threads, and iterator are those that
// list the mappings of one.
//
// Source: Linux 6.7 kernel/bpf/task_iter.c.
const target = "bpf_iter_task"

var iterator = []string{"bpf_iter_task_vma_new", "bpf_iter_task_vma_next", "bpf_iter_task_vma_destroy"}

// A kernel is what must be known of it to load the program.
type kernel struct {
	layout
	functions map[string]uint32 // numbers of those that are called, and of the target
}

// readKernel reads it from the types of the kernel that runs.
func readKernel() (k kernel, err error) {
	k.functions = map[string]uint32{}
	fields := k.fields()
	var structs []string
	for _, f := range fields {
		structs = append(structs, f.of)
	}
	functions := append([]string{target}, iterator...)
	err = btf.Kernel(structs, functions, func(types *btf.Types) error {
		for _, f := range fields {
			if *f.into, err = types.Offset(f.of, f.member); err != nil {
				return err
			}
		}
		for _, name := range functions {
			if k.functions[name], err = types.Func(name); err != nil {
				return err
			}
		}
		return nil
	})
	return k, err
}

type field struct {
	into       *uint32
	of, member string
}

func (l *layout) fields() []field {
	return []field{
		{&l.TaskPID, "task_struct", "pid"}, {&l.TaskTGID, "task_struct", "tgid"}, {&l.TaskGroupLeader, "task_struct", "group_leader"},
		{&l.TaskFS, "task_struct", "fs"}, {&l.TaskFiles, "task_struct", "files"}, {&l.TaskMM, "task_struct", "mm"},
		{&l.FSRoot, "fs_struct", "root"}, {&l.FSPwd, "fs_struct", "pwd"},
		{&l.FilesFDT, "files_struct", "fdt"}, {&l.FDTableMaxFDs, "fdtable", "max_fds"}, {&l.FDTableFD, "fdtable", "fd"},
		{&l.MMExeFile, "mm_struct", "exe_file"}, {&l.MMMapCount, "mm_struct", "map_count"}, {&l.VMAVMFile, "vm_area_struct", "vm_file"},
		{&l.FileFPath, "file", "f_path"}, {&l.BackingUserPath, "backing_file", "user_path"}, {&l.PathMnt, "path", "mnt"}, {&l.PathDentry, "path", "dentry"},
		{&l.MountMntSB, "vfsmount", "mnt_sb"}, {&l.DentryDSB, "dentry", "d_sb"}, {&l.DentryDName, "dentry", "d_name"}, {&l.QStrName, "qstr", "name"},
		{&l.SBDev, "super_block", "s_dev"}, {&l.SBFlags, "super_block", "s_flags"}, {&l.SBMagic, "super_block", "s_magic"},
	}
}
