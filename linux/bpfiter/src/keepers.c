// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Tells which processes are worth a look for who asks what is used of some superblocks: those
// with a directory, program, open file or mapping on one, or with an io_uring, which may have
// files registered. It may tell too many. It may not miss one: where it cannot see
// something, or not all, it tells the process as unsure.
//
// One program of type iter/task, which the kernel runs once for each thread, under RCU. What it
// reads is read without locks and may be changed or freed meanwhile: the kernel makes
// such reads safe, and what is told is looked at again by who asked.
//
// The structs have the fields that are used alone. Where those are in the kernel that
// runs is found when the program is loaded, from that kernel's BTF.
//
// Source: Linux 6.7 include/linux/{sched,fs,fs_struct,fdtable,mm_types,mount,dcache}.h, fs/mount.h,
// fs/file_table.c (backing_file), kernel/bpf/task_iter.c (bpf_iter_task_vma), fs/anon_inodes.c.

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SECTION(name) __attribute__((section(name), used))
#define KERNEL __attribute__((preserve_access_index))
#define INLINE static inline __attribute__((always_inline))

// Helpers and kfuncs. Source: Linux 6.7 include/uapi/linux/bpf.h, ___BPF_FUNC_MAPPER.
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static long (*bpf_seq_write)(void *seq, const void *data, __u32 size) = (void *)127;
static long (*bpf_loop)(__u32 times, void *step, void *context, __u64 flags) = (void *)181;

struct super_block {
	__u32 s_dev;
	unsigned long s_flags, s_magic;
} KERNEL;
struct vfsmount {
	struct super_block *mnt_sb;
} KERNEL;
struct qstr {
	const unsigned char *name;
} KERNEL;
struct dentry {
	struct qstr d_name;
	struct super_block *d_sb;
} KERNEL;
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL;
struct file {
	struct path f_path;
} KERNEL;
struct backing_file {
	struct path user_path;
} KERNEL;
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} KERNEL;
struct files_struct {
	struct fdtable *fdt;
} KERNEL;
struct fs_struct {
	struct path root, pwd;
} KERNEL;
struct mm_struct {
	struct file *exe_file;
	__u32 map_count;
} KERNEL;
struct vm_area_struct {
	struct file *vm_file;
} KERNEL;
struct task_struct {
	int pid, tgid;
	struct task_struct *group_leader;
	struct fs_struct *fs;
	struct files_struct *files;
	struct mm_struct *mm;
} KERNEL;
struct bpf_iter_meta {
	void *seq;
} KERNEL;
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} KERNEL;
struct bpf_iter_task_vma {
	__u64 opaque[1];
};

extern void *bpf_rdonly_cast(const void *object, __u32 type) SECTION(".ksyms");
extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, __u64 address) SECTION(".ksyms");
extern struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it) SECTION(".ksyms");
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it) SECTION(".ksyms");

// AS makes of an address a pointer that the kernel lets us read from. Of one that it trusts already
// too: of each pointer that is read by such a one it searches all of its types, for 1 ms, when
// the program is loaded.
#define AS(type, address) ((struct type *)bpf_rdonly_cast((const void *)(address), __builtin_btf_type_id(*(struct type *)0, 1)))

// What is told, and what is asked, are known to linux/bpfiter/bpfiter.go too.
enum why { NOTHING, DIRECTORY, PROGRAM, MAPPING, DESCRIPTOR, RING, UNSURE };
enum { ASKED = 1, LISTED = 2 };

struct record {
	__u32 pid, tid, why, device;
};

// The superblocks by number: those that are asked about, and those that are in the mount tables.
struct {
	int (*type)[1]; // BPF_MAP_TYPE_HASH
	int (*max_entries)[1]; // as many as there are, set before loading
	__u32 *key;
	__u8 *value;
} devices SECTION(".maps");

// Whether what is on a superblock that is not in the tables is worth a look too.
const volatile __u8 unlisted = 0;

// Bounds, for the time that the kernel spends here: of one table or address space, and of all.
const volatile __u32 most_fds = 1 << 16, most_mappings = 1 << 16, most_steps = 1 << 24;
__u64 steps = 0;
__u32 mappings = 0; // of the process at hand; kept here, where the kernel's checker does not try each number

#define SB_KERNMOUNT (1 << 22)
#define ANON_INODE_FS_MAGIC 0x09041934

// A look is one run, at one thread.
struct look {
	__u64 not; // the superblock that was last seen not to be wanted: most files of a process are on one
	__u64 table; // of descriptors
	__u64 file, mount; // at hand
	__u32 why, device;
};

// wanted notes whether l->mount is of a superblock that is wanted. One of the kernel's own, as of
// pipes and memory, is in no table and never a detached mount. It is not static: the kernel's
// checker goes through such a function once, and not once for each call.
__attribute__((noinline)) int wanted(struct look *l, __u32 why)
{
	if (!l)
		return 0; // for the checker
	__u64 address = (__u64)AS(vfsmount, l->mount)->mnt_sb;
	if (address == l->not)
		return 0;
	struct super_block *sb = AS(super_block, address);
	__u32 device = sb->s_dev;
	__u8 *is = bpf_map_lookup_elem(&devices, &device);
	if (is ? *is == ASKED : unlisted && !(sb->s_flags & SB_KERNMOUNT)) {
		l->why = why;
		l->device = device;
		return 1;
	}
	l->not = address;
	return 0;
}

INLINE int on_wanted(struct look *l, struct vfsmount *mount, __u32 why)
{
	l->mount = (__u64)mount;
	return wanted(l, why);
}

INLINE int is_ring(struct file *file)
{
	static const union {
		char text[12];
		__u32 words[3];
	} want = {"[io_uring]"};
	__u32 name[3] = {};
	if (file->f_path.mnt->mnt_sb->s_magic != ANON_INODE_FS_MAGIC)
		return 0;
	if (bpf_probe_read_kernel(name, sizeof("[io_uring]"), file->f_path.dentry->d_name.name))
		return 1;
	return name[0] == want.words[0] && name[1] == want.words[1] && name[2] == want.words[2];
}

// look_at_file looks at the open file l->file. It is not static: see wanted.
__attribute__((noinline)) int look_at_file(struct look *l)
{
	if (!l)
		return 0;
	struct file *file = AS(file, l->file);
	if (on_wanted(l, file->f_path.mnt, DESCRIPTOR))
		return 1;
	if (is_ring(file))
		l->why = RING;
	return l->why != NOTHING;
}

// look_at_eight looks at eight descriptors: most tables have room for 64 and a few files.
static long look_at_eight(__u32 at, struct look *l)
{
	__u64 files[8];
	if (bpf_probe_read_kernel(files, sizeof(files), (void *)(l->table + at * sizeof(files)))) {
		l->why = UNSURE;
		return 1;
	}
	for (int i = 0; i < 8; i++) {
		if (!files[i])
			continue;
		l->file = files[i];
		if (look_at_file(l))
			return 1;
	}
	return 0;
}

INLINE void look_at_descriptors(struct look *l, struct files_struct *files)
{
	struct fdtable *table = files->fdt;
	__u32 room = table->max_fds;
	if (room > most_fds || steps > most_steps) {
		l->why = UNSURE;
		return;
	}
	steps += room / 8;
	l->table = (__u64)table->fd;
	bpf_loop(room / 8, look_at_eight, l, 0);
}

// on_wanted_backing is on_wanted for a file that stands for another one: what is mapped of an
// overlay is the file of a layer, and the overlay's path is kept behind it. Nothing that can be
// seen here tells such files from others, behind which is anything; what is a path
// has a mount and an entry of one superblock.
INLINE int on_wanted_backing(struct look *l, struct file *file)
{
	struct backing_file *backing = AS(backing_file, file);
	struct vfsmount *mount = backing->user_path.mnt;
	struct super_block *sb = mount->mnt_sb;
	if (!sb || sb != backing->user_path.dentry->d_sb)
		return 0;
	return on_wanted(l, mount, MAPPING);
}

INLINE void look_at_mappings(struct look *l, struct task_struct *task, struct mm_struct *mm)
{
	if (steps > most_steps) {
		l->why = UNSURE;
		return;
	}
	struct bpf_iter_task_vma it;
	struct vm_area_struct *vma;
	__u64 before = 0;
	mappings = 0;
	int failed = bpf_iter_task_vma_new(&it, task, 0);
	while ((vma = bpf_iter_task_vma_next(&it))) {
		if (++mappings > most_mappings)
			break;
		struct file *file = AS(vm_area_struct, vma)->vm_file;
		if (!file || (__u64)file == before)
			continue;
		before = (__u64)file;
		if (on_wanted(l, file->f_path.mnt, MAPPING) || on_wanted_backing(l, file))
			break;
	}
	bpf_iter_task_vma_destroy(&it);
	steps += mappings;
	if (!l->why && (failed || mappings != mm->map_count)) // what is locked at the moment is passed over
		l->why = UNSURE;
}

// look_at is about what a thread has and the first one of its process has not.
INLINE void look_at(struct look *l, struct task_struct *trusted)
{
	struct task_struct *task = AS(task_struct, trusted);
	struct task_struct *first = task->group_leader;
	int is_first = task->pid == task->tgid;
	struct fs_struct *fs = task->fs;
	if (fs && (is_first || fs != first->fs)) {
		if (on_wanted(l, fs->root.mnt, DIRECTORY) || on_wanted(l, fs->pwd.mnt, DIRECTORY))
			return;
	}
	struct mm_struct *mm = task->mm;
	if (mm && !is_first && mm == first->mm)
		mm = 0;
	if (mm) {
		struct file *program = mm->exe_file;
		if (program && on_wanted(l, program->f_path.mnt, PROGRAM))
			return;
	}
	struct files_struct *files = task->files;
	if (files && (is_first || files != first->files))
		look_at_descriptors(l, files);
	if (!l->why && mm)
		look_at_mappings(l, trusted, mm);
	if (!l->why && (fs != task->fs || files != task->files || (mm && mm != task->mm))) // they may have been freed as they were read
		l->why = UNSURE;
}

SECTION("iter/task")
int keepers(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	if (!task)
		return 0; // the end
	struct look l = {};
	look_at(&l, task);
	if (!l.why)
		return 0;
	struct record r = {AS(task_struct, task)->tgid, AS(task_struct, task)->pid, l.why, l.device};
	bpf_seq_write(context->meta->seq, &r, sizeof(r)); // without room for it the kernel runs this once more
	return 0;
}

// The helpers that read the kernel's memory are for programs under a licence that goes with the GPL.
char _license[] SECTION("license") = "Dual MIT/GPL";

#ifndef SOURCE
#define SOURCE "compile it with build.sh"
#endif
const char _source[] SECTION("source") = SOURCE; // the sum of this file: a test compares it
