// SPDX-License-Identifier: MIT OR GPL-2.0-only

// Tells the mounts of one mount namespace, as many as find room, lowest unique id first.
//
// It runs once for each call of BPF_PROG_TEST_RUN, which holds the RCU read lock: what it
// reads may change meanwhile, but is not freed. No address is followed but by
// bpf_probe_read_kernel, which fails where none can be. Where the kernel has its fields is
// told by whoever loads it (offsets), so that it needs no relocation.
//
// Source: Linux 6.18 fs/mount.h, fs/namespace.c, fs/nsfs.c; bpf-helpers(7).

#include "program.h"

volatile const struct {
	u32 task_files, files_fdt, fdt_max, fdt_fd, file_inode, inode_private; // from a descriptor to its namespace
	u32 ns_common, ns_root, ns_mounts, ns_event, ns_count;
	u32 node, parent, point, root, sb, id, unique, group, master, propagation, source; // in struct mount
	u32 sb_dev, sb_magic;
	u32 place, place_size, ids, ids_size, super, super_size; // parts that have some of these, see struct part
	u64 seed;                     // of numbers for sources
} at;

struct mount {
	u64 unique, parent;           // ids
	u64 root, point;              // addresses
	u64 source;                   // the same number for the same source
	u32 id, old_parent;           // ids, too
	u32 dev, magic;
	u32 propagation;
	u32 group, master;            // of peers
	u32 unused;
};

#define ROOM 2048
#define LONGEST 256 // and shorter are sources that get the same number
#define DEPTH 64 // of a red-black tree of 2^31 mounts
#define BEHIND_ALL (~0ULL) // tell none, only event and count
#define ROOM_OF_PART 256
#define STEPS (2 * ROOM + 2 * DEPTH) // two for each mount, and the way down to the first

struct rb_node {
	u64 parent_color, right, left;
};

// A part of a struct is copied at once: to ask for a field alone costs as much. It has node,
// parent, point, root and sb of a mount; or id and unique; or what is read of a superblock.
struct part {
	char raw[ROOM_OF_PART];
};

#define FIELD(type, part, begin, offset) (*(type *)&(part)->raw[((offset) - (begin)) & (ROOM_OF_PART / 2 - 1)])
#define COPY(part, address, begin, size) bpf_probe_read_kernel((part)->raw, (size) & (ROOM_OF_PART - 1), (address) + (begin))

// The walk stands in the map, too, not on the stack: of what is read from there
// the kernel's verifier assumes nothing, and need not try each depth.
struct answer {
	u64 root;                     // unique id of the mount at the bottom
	u64 event;                    // changes with the mounts
	u32 count;                    // of mounts, as the kernel has it
	u32 told, more, torn;
	struct mount mounts[ROOM];

	u64 node, after;
	u64 above[DEPTH];             // mounts on the way down whose left side was told
	struct part places[DEPTH];    // of those
	u64 parent, sb;               // most often those of the mount before
	u64 depth, also;              // what is told, too
	struct part ids, parent_ids, super;
	u64 text[LONGEST / 8], number;
	u32 size;                     // of the text
};

struct {
	int (*type)[2];               // BPF_MAP_TYPE_ARRAY
	int (*key_size)[4];
	int (*value_size)[sizeof(struct answer)];
	int (*max_entries)[1];
	int (*map_flags)[1 << 10];    // BPF_F_MMAPABLE
} answers SEC(".maps");

#define PEERS 1
#define SOURCES 2

// tell_peers is not for those who only ask what is mounted: it reads two more lines of memory.
static int tell_peers(struct mount *m, u64 mount)
{
	u64 master;
	if (READ(m->propagation, mount + at.propagation) || READ(m->group, mount + at.group) || READ(master, mount + at.master))
		return 1;
	return master && READ(m->master, master + at.group);
}

// mix adds eight bytes of a source to its number, of the last ones those that are its own.
static inline long mix(u32 i, struct answer **walk)
{
	struct answer *a = *walk;
	if (i >= LONGEST / 8)
		return 1;
	u64 part = a->text[i];
	u32 left = a->size - 8 * i;
	if (left < 8)
		part &= (1ULL << (8 * left)) - 1;
	a->number = (a->number ^ part) * 0x9E3779B97F4A7C15ULL;
	a->number ^= a->number >> 29;
	return 0;
}

static long mix_rest(u32 i, struct answer **walk)
{
	return mix(i + 1, walk);
}

// number gives a source its number, and one that is too long, or cannot be read, that of its mount.
static u64 number(struct answer *a, u64 mount)
{
	u64 text;
	if (READ(text, mount + at.source))
		return mount;
	a->size = bpf_probe_read_kernel_str(a->text, LONGEST, text);
	if (a->size >= LONGEST)
		return mount;
	a->number = at.seed;
	mix(0, &a);
	if (a->size > 8)
		bpf_loop((a->size - 1) / 8, mix_rest, &a, 0);
	return a->number;
}

// tell puts a mount to the answer. It fails where it is not there any more.
static int tell(struct answer *a, u64 mount, struct part *place)
{
	u32 n = a->told;
	if (n >= ROOM || COPY(&a->ids, mount, at.ids, at.ids_size))
		return 1;
	u64 parent = FIELD(u64, place, at.place, at.parent), sb = FIELD(u64, place, at.place, at.sb);
	if (parent != a->parent && COPY(&a->parent_ids, parent, at.ids, at.ids_size))
		return 1;
	if (sb != a->sb && COPY(&a->super, sb, at.super, at.super_size))
		return 1;
	a->parent = parent;
	a->sb = sb;
	struct mount *m = &a->mounts[n];
	m->unique = FIELD(u64, &a->ids, at.ids, at.unique);
	m->parent = FIELD(u64, &a->parent_ids, at.ids, at.unique);
	m->root = FIELD(u64, place, at.place, at.root);
	m->point = FIELD(u64, place, at.place, at.point);
	m->id = FIELD(u32, &a->ids, at.ids, at.id);
	m->old_parent = FIELD(u32, &a->parent_ids, at.ids, at.id);
	m->dev = FIELD(u32, &a->super, at.super, at.sb_dev);
	m->magic = FIELD(u32, &a->super, at.super, at.sb_magic);
	m->propagation = m->group = m->master = 0;
	if (a->also & PEERS && tell_peers(m, mount))
		return 1;
	m->source = a->also & SOURCES ? number(a, mount) : 0;
	a->told = n + 1;
	return 0;
}

// down goes from a node to its left, or to its right where it is among those that were told before.
static int down(struct answer *a, u64 depth)
{
	if (depth >= DEPTH)
		return 1;
	u64 mount = a->node - at.node, unique;
	struct part *place = &a->places[depth];
	if (COPY(place, mount, at.place, at.place_size))
		return 1;
	struct rb_node *node = &FIELD(struct rb_node, place, at.place, at.node);
	if (a->after) {
		if (READ(unique, mount + at.unique))
			return 1;
		if (unique <= a->after) {
			a->node = node->right;
			return 0;
		}
	}
	a->above[depth] = mount;
	a->depth = depth + 1;
	a->node = node->left;
	return 0;
}

// step goes down, or tells the lowest mount that is left and goes to its right.
static long step(u32 i, struct answer **walk)
{
	struct answer *a = *walk;
	u64 depth = a->depth;
	if (a->node) {
		a->torn = down(a, depth);
		return a->torn;
	}
	if (depth == 0 || depth > DEPTH)
		return 1;
	if (a->told == ROOM) {
		a->more = 1;
		return 1;
	}
	struct part *place = &a->places[depth - 1];
	if (tell(a, a->above[depth - 1], place)) {
		a->torn = 1;
		return 1;
	}
	a->node = FIELD(struct rb_node, place, at.place, at.node).right;
	a->depth = depth - 1;
	return 0;
}

// tells takes the descriptor of a namespace, the unique id after which to begin, and what to tell, too.
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
	a->also = args[2];
	a->parent = a->sb = 0;
	if (READ(a->event, ns + at.ns_event) || READ(root, ns + at.ns_root) || READ(a->root, root + at.unique) || READ(a->node, ns + at.ns_mounts))
		return 1;
	if (a->after != BEHIND_ALL)
		bpf_loop(STEPS, step, &a, 0);
	if (READ(event, ns + at.ns_event) || READ(a->count, ns + at.ns_count))
		return 1;
	if (event != a->event)
		a->torn = 1;
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
