// SPDX-License-Identifier: MIT OR GPL-2.0-only

// Tells the mounts of one mount namespace, as many as find room, lowest unique id first.
//
// It runs once for each call of BPF_PROG_TEST_RUN, which holds the RCU read lock: what it
// reads may change meanwhile, but is not freed. No address is followed but by
// bpf_probe_read_kernel, which fails where none can be. Where the kernel has its fields is
// told by whoever loads it (offsets), so that it needs no relocation.
//
// Source: Linux 6.18 fs/mount.h, fs/namespace.c, fs/nsfs.c; bpf-helpers(7).

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_probe_read_kernel)(void *to, u32 size, u64 from) = (void *)113;
static long (*bpf_loop)(u32 most, void *step, void *state, u64 flags) = (void *)181;

volatile const struct {
	u32 task_files, files_fdt, fdt_max, fdt_fd, file_inode, inode_private; // from a descriptor to its namespace
	u32 ns_common, ns_root, ns_mounts, ns_event, ns_count;
	u32 place, place_size, ids, ids_size; // two parts of struct mount: parent to sb; id and unique
	u32 node, parent, point, root, sb, id, unique, group, master, propagation;
	u32 sb_dev, sb_magic;
} at;

struct mount {
	u64 unique, parent;           // ids
	u64 root, point;              // addresses
	u32 id, old_parent;           // ids, too
	u32 dev, magic;
	u32 propagation;
	u32 group, master;            // of peers
	u32 unused;
};

#define ROOM 2048
#define DEPTH 64 // of a red-black tree of 2^31 mounts
#define STEPS (2 * ROOM + 2 * DEPTH) // two for each mount, and the way down to the first

// The walk stands in the map, too, not on the stack: of what is read from there
// the kernel's verifier assumes nothing, and need not try each depth.
struct answer {
	u64 root;                     // unique id of the mount at the bottom
	u64 event;                    // changes with the mounts
	u32 count;                    // of mounts, as the kernel has it
	u32 told, more, torn;
	struct mount mounts[ROOM];

	u64 node, after;
	u64 above[DEPTH];             // nodes on the way down whose left side was told
	u64 right[DEPTH];
	u64 parent, parent_unique;    // the mount below: most often that of the one before
	u64 sb;                       // as parent
	u32 depth, parent_id, dev, magic;
	u64 peers;                    // are they told, too?
	char raw[512 + 512];          // of one struct mount, which is smaller than 512
};

struct {
	int (*type)[2];               // BPF_MAP_TYPE_ARRAY
	int (*key_size)[4];
	int (*value_size)[sizeof(struct answer)];
	int (*max_entries)[1];
	int (*map_flags)[1 << 10];    // BPF_F_MMAPABLE
} answers SEC(".maps");

struct rb_node {
	u64 parent_color, right, left;
};

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), (from))
#define RAW(type, offset) (*(type *)&a->raw[(offset) & 511])

// tell_peers is not for those who only ask what is mounted: it reads two more lines of memory.
static int tell_peers(struct mount *m, u64 mount)
{
	u64 master;
	if (READ(m->propagation, mount + at.propagation) || READ(m->group, mount + at.group) || READ(master, mount + at.master))
		return 1;
	return master && READ(m->master, master + at.group);
}

// tell puts the mount to the answer. It fails where the mount is not there any more.
static int tell(struct answer *a, u64 node)
{
	u32 n = a->told;
	if (n >= ROOM)
		return 1;
	u64 mount = node - at.node;
	if (bpf_probe_read_kernel(&a->raw[at.place & 511], at.place_size & 511, mount + at.place) ||
	    bpf_probe_read_kernel(&a->raw[at.ids & 511], at.ids_size & 511, mount + at.ids))
		return 1;
	u64 parent = RAW(u64, at.parent), sb = RAW(u64, at.sb);
	if (parent != a->parent) {
		if (READ(a->parent_id, parent + at.id) || READ(a->parent_unique, parent + at.unique))
			return 1;
		a->parent = parent;
	}
	if (sb != a->sb) {
		if (READ(a->dev, sb + at.sb_dev) || READ(a->magic, sb + at.sb_magic))
			return 1;
		a->sb = sb;
	}
	struct mount *m = &a->mounts[n];
	m->unique = RAW(u64, at.unique);
	m->parent = a->parent_unique;
	m->root = RAW(u64, at.root);
	m->point = RAW(u64, at.point);
	m->id = RAW(u32, at.id);
	m->old_parent = a->parent_id;
	m->dev = a->dev;
	m->magic = a->magic;
	m->propagation = m->group = m->master = 0;
	if (a->peers && tell_peers(m, mount))
		return 1;
	a->told = n + 1;
	return 0;
}

// step goes down to the left, or tells the lowest mount that is left and goes to its right.
static long step(u32 i, struct answer **walk)
{
	struct answer *a = *walk;
	u32 depth = a->depth;
	if (a->node) {
		struct rb_node node;
		if (depth >= DEPTH || READ(node, a->node)) {
			a->torn = 1;
			return 1;
		}
		if (a->after) {
			u64 unique;
			if (READ(unique, a->node - at.node + at.unique)) {
				a->torn = 1;
				return 1;
			}
			if (unique <= a->after) {
				a->node = node.right;
				return 0;
			}
		}
		a->above[depth] = a->node;
		a->right[depth] = node.right;
		a->depth = depth + 1;
		a->node = node.left;
		return 0;
	}
	if (depth == 0 || depth > DEPTH)
		return 1;
	if (a->told == ROOM) {
		a->more = 1;
		return 1;
	}
	depth--;
	if (tell(a, a->above[depth])) {
		a->torn = 1;
		return 1;
	}
	a->node = a->right[depth];
	a->depth = depth;
	return 0;
}

// tells takes the descriptor of a namespace, the unique id after which to begin, and whether to tell peers.
SEC("raw_tracepoint") int tells(u64 *args)
{
	u32 zero = 0, most = 0;
	struct answer *a = bpf_map_lookup_elem(&answers, &zero);
	if (!a)
		return 1;
	u64 fd = args[0], files, fdt, table, file, inode, ns, root, event;
	if (READ(files, bpf_get_current_task() + at.task_files) || READ(fdt, files + at.files_fdt) ||
	    READ(most, fdt + at.fdt_max) || fd >= most || READ(table, fdt + at.fdt_fd) || READ(file, table + 8 * fd) ||
	    READ(inode, file + at.file_inode) || READ(ns, inode + at.inode_private))
		return 1;
	ns -= at.ns_common;
	a->told = a->more = a->torn = 0;
	a->depth = 0;
	a->after = args[1];
	a->peers = args[2];
	a->parent = a->sb = 0;
	if (READ(a->event, ns + at.ns_event) || READ(root, ns + at.ns_root) || READ(a->root, root + at.unique) || READ(a->node, ns + at.ns_mounts))
		return 1;
	bpf_loop(STEPS, step, &a, 0);
	if (READ(event, ns + at.ns_event) || READ(a->count, ns + at.ns_count))
		return 1;
	if (event != a->event)
		a->torn = 1;
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
