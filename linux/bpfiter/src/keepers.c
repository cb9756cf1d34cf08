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
// Where the kernel that runs has a field is told by who loads the program (constant "at"), so that it
// needs no relocations, for which all types of the kernel would have to be read.
//
// Source: Linux 6.7 include/linux/{sched,fs,fs_struct,fdtable,mm_types,mount,dcache}.h, fs/mount.h,
// fs/file_table.c (backing_file), kernel/bpf/task_iter.c (bpf_iter_task_vma), fs/anon_inodes.c.

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

// Helpers and kfuncs. Source: Linux 6.7 include/uapi/linux/bpf.h, ___BPF_FUNC_MAPPER.
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static long (*bpf_seq_write)(void *seq, const void *data, __u32 size) = (void *)127;
static long (*bpf_loop)(__u32 times, void *step, void *context, __u64 flags) = (void *)181;

// How the kernel calls a program of this type. Source: Linux 6.7 kernel/bpf/task_iter.c, include/linux/bpf.h.
struct bpf_iter_meta {
	void *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	void *task;
};
struct bpf_iter_task_vma {
	__u64 opaque[1];
};
extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, void *task, __u64 address) SECTION(".ksyms");
extern void *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it) SECTION(".ksyms");
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it) SECTION(".ksyms");

// Bytes from the beginning of each struct, as linux/bpfiter/layout.go fills them in.
const volatile struct {
	__u32 task_pid, task_tgid, task_group_leader, task_fs, task_files, task_mm;
	__u32 fs_root, fs_pwd;
	__u32 files_fdt, fdtable_max_fds, fdtable_fd;
	__u32 mm_exe_file, mm_map_count, vma_vm_file;
	__u32 file_f_path, backing_user_path, path_mnt, path_dentry;
	__u32 mount_mnt_sb, dentry_d_sb, dentry_d_name, qstr_name;
	__u32 sb_s_dev, sb_s_flags, sb_s_magic;
} at;

// word and half read a field of an address, 0 where nothing can be read.
INLINE __u64 word(__u64 address, __u32 field)
{
	__u64 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)(address + field));
	return value;
}

INLINE __u32 half(__u64 address, __u32 field)
{
	__u32 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)(address + field));
	return value;
}

// What is told, and what is asked, are known to linux/bpfiter/bpfiter.go too.
enum why { NOTHING, DIRECTORY, PROGRAM, MAPPING, DESCRIPTOR, RING, UNSURE };
enum { ASKED = 1, LISTED = 2, MINE = 3 };

struct record {
	__u32 pid, tid, why, device;
};

// The superblocks by number: those that are asked about, those that are in the mount tables,
// and the one of a file that who asks has open.
struct {
	int (*type)[1]; // BPF_MAP_TYPE_HASH
	int (*max_entries)[1]; // as many as there are, set before loading
	__u32 *key;
	__u8 *value;
} devices SECTION(".maps");

// Whether what is on a superblock that is not in the tables is worth a look too.
const volatile __u8 unlisted = 0;

// Bounds, for the time that the kernel spends here: of one table or address space,
const volatile __u32 most_fds = 1 << 16, most_mappings = 1 << 16, most_steps = 1 << 23; // of all: two seconds
__u64 steps = 0;
__u32 mappings = 0; // of the process at hand; kept here, where the kernel's checker does not try each number

#define SB_KERNMOUNT (1 << 22)
#define ANON_INODE_FS_MAGIC 0x09041934

// A look is one run, at one thread.
struct look {
	__u64 not; // the mount that was last seen not to be wanted: most files of a process are on one
	__u64 magic; // of its superblock
	__u64 table; // of descriptors
	__u32 why, device;
	__u32 asks; // it is the process that asks, which is told if its own file is seen, and by nothing else
};

// wanted notes whether a mount is of a superblock that is wanted. One of the kernel's own, as of
// pipes and memory, is in no table and never a detached mount. It is not static: the kernel's
// checker goes through such a function once, and not once for each call.
__attribute__((noinline)) int wanted(struct look *l, __u64 mount, __u32 why)
{
	if (!l)
		return 0; // for the checker
	if (mount && mount == l->not)
		return 0;
	__u64 sb = word(mount, at.mount_mnt_sb);
	if (!sb) {
		l->why = UNSURE;
		return 1;
	}
	__u32 device = half(sb, at.sb_s_dev);
	__u8 *is = bpf_map_lookup_elem(&devices, &device);
	if (l->asks ? is && *is == MINE : is ? *is == ASKED : unlisted && !(word(sb, at.sb_s_flags) & SB_KERNMOUNT)) {
		l->why = why;
		l->device = device;
		return 1;
	}
	l->not = mount;
	l->magic = word(sb, at.sb_s_magic);
	return 0;
}

INLINE int is_ring(__u64 file)
{
	static const union {
		char text[12];
		__u32 words[3];
	} want = {"[io_uring]"};
	__u32 name[3] = {};
	__u64 dentry = word(file + at.file_f_path, at.path_dentry);
	if (bpf_probe_read_kernel(name, sizeof("[io_uring]"), (void *)word(dentry + at.dentry_d_name, at.qstr_name)))
		return 1;
	return name[0] == want.words[0] && name[1] == want.words[1] && name[2] == want.words[2];
}

// look_at_file looks at an open file. It is not static: see wanted.
__attribute__((noinline)) int look_at_file(struct look *l, __u64 file)
{
	if (!l)
		return 0;
	if (wanted(l, word(file + at.file_f_path, at.path_mnt), DESCRIPTOR))
		return 1;
	if (!l->asks && l->magic == ANON_INODE_FS_MAGIC && is_ring(file))
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
	for (int i = 0; i < 8; i++)
		if (files[i] && look_at_file(l, files[i]))
			return 1;
	return 0;
}

INLINE void look_at_descriptors(struct look *l, __u64 files)
{
	__u64 table = word(files, at.files_fdt);
	__u32 room = half(table, at.fdtable_max_fds);
	if (!room || room > most_fds || (steps > most_steps && !l->asks)) {
		l->why = UNSURE;
		return;
	}
	steps += room / 8;
	l->table = word(table, at.fdtable_fd);
	bpf_loop(room / 8, look_at_eight, l, 0);
}

// wanted_behind is wanted for a file that stands for another one: what is mapped of an
// overlay is the file of a layer, and the overlay's path is kept behind it. Nothing that can be
// seen here tells such files from others, behind which is anything; what is a path
// has a mount and an entry of one superblock.
INLINE int wanted_behind(struct look *l, __u64 file)
{
	__u64 path = file + at.backing_user_path, mount = word(path, at.path_mnt), sb = word(mount, at.mount_mnt_sb);
	if (!sb || sb != word(word(path, at.path_dentry), at.dentry_d_sb))
		return 0;
	return wanted(l, mount, MAPPING);
}

INLINE void look_at_mappings(struct look *l, void *task, __u64 mm)
{
	if (steps > most_steps) {
		l->why = UNSURE;
		return;
	}
	struct bpf_iter_task_vma it;
	void *vma;
	__u64 before = 0;
	mappings = 0;
	int failed = bpf_iter_task_vma_new(&it, task, 0);
	while ((vma = bpf_iter_task_vma_next(&it))) {
		if (++mappings > most_mappings)
			break;
		__u64 file = word((__u64)vma, at.vma_vm_file);
		if (!file || file == before)
			continue;
		before = file;
		if (wanted(l, word(file + at.file_f_path, at.path_mnt), MAPPING) || wanted_behind(l, file))
			break;
	}
	bpf_iter_task_vma_destroy(&it);
	steps += mappings;
	if (!l->why && (failed || mappings != half(mm, at.mm_map_count))) // what is locked at the moment is passed over
		l->why = UNSURE;
}

// look_at is about what a thread has and the first one of its process has not.
INLINE void look_at(struct look *l, void *trusted, int is_first)
{
	__u64 task = (__u64)trusted, first = word(task, at.task_group_leader);
	__u64 fs = word(task, at.task_fs), files = word(task, at.task_files), mm = word(task, at.task_mm);
	if (l->asks) {
		if (is_first)
			look_at_descriptors(l, files);
		return;
	}
	if (fs && (is_first || fs != word(first, at.task_fs))) {
		if (wanted(l, word(fs + at.fs_root, at.path_mnt), DIRECTORY) || wanted(l, word(fs + at.fs_pwd, at.path_mnt), DIRECTORY))
			return;
	}
	int own_memory = mm && (is_first || mm != word(first, at.task_mm));
	if (own_memory) {
		__u64 program = word(mm, at.mm_exe_file);
		if (program && wanted(l, word(program + at.file_f_path, at.path_mnt), PROGRAM))
			return;
	}
	if (files && (is_first || files != word(first, at.task_files)))
		look_at_descriptors(l, files);
	if (!l->why && own_memory)
		look_at_mappings(l, trusted, mm);
	if (!l->why && (fs != word(task, at.task_fs) || files != word(task, at.task_files) || mm != word(task, at.task_mm)))
		l->why = UNSURE; // they may have been freed as they were read
}

SECTION("iter/task")
int keepers(struct bpf_iter__task *context)
{
	void *task = context->task;
	if (!task)
		return 0; // the end
	struct record r = {half((__u64)task, at.task_tgid), half((__u64)task, at.task_pid)};
	struct look l = {.asks = bpf_get_current_pid_tgid() >> 32 == r.pid};
	look_at(&l, task, r.pid == r.tid);
	if (!l.why)
		return 0;
	r.why = l.why;
	r.device = l.device;
	bpf_seq_write(context->meta->seq, &r, sizeof(r)); // without room for it the kernel runs this once more
	return 0;
}

// The helpers that read the kernel's memory are for programs under a licence that goes with the GPL.
char _license[] SECTION("license") = "Dual MIT/GPL";
