// SPDX-License-Identifier: MIT OR GPL-2.0-only

// Tells in which mount namespace each process is, and those of its threads that are in another.
//
// It goes through the kernel's list of processes as for_each_process does, below the RCU read
// lock that BPF_PROG_TEST_RUN holds. See mounts.c for the rest.
//
// Source: Linux 6.18 include/linux/sched/signal.h, for_each_process and __for_each_thread;
// kernel/nsproxy.c; kernel/exit.c, __unhash_process.

#include "program.h"

volatile const struct {
	u32 leader, tasks, tgid, nsproxy, signal, thread_node; // in struct task_struct
	u32 thread_head, nr_threads;                           // in struct signal_struct
	u32 mnt_ns, ns_common, inum;                           // in struct nsproxy, mnt_namespace, ns_common
} at;

#define ROOM 16384
#define STEPS (2 * ROOM)
#define UNSURE (~0U)

struct task {
	u32 tgid;
	u32 inum; // of the namespace, 0: in none any more, or UNSURE
};

struct answer {
	u32 told, whole;
	struct task tasks[ROOM];

	u64 first, leader; // where the walk began, and where it is
	u64 thread, head;  // of its threads: 0 if there is but one, and the list's head
	u32 tgid, inum;    // of it
};

struct {
	int (*type)[2];
	int (*key_size)[4];
	int (*value_size)[sizeof(struct answer)];
	int (*max_entries)[1];
	int (*map_flags)[1 << 10];
} answers SEC(".maps");

// space finds the namespace of a thread. What it is told by may be given up and used again
// by another thread meanwhile: then the thread has another one after that.
static u32 space(u64 task)
{
	u64 proxy, ns, still;
	u32 inum;
	if (READ(proxy, task + at.nsproxy))
		return UNSURE;
	if (!proxy)
		return 0;
	if (READ(ns, proxy + at.mnt_ns) || READ(inum, ns + at.ns_common + at.inum) || READ(still, task + at.nsproxy) || still != proxy)
		return UNSURE;
	return inum;
}

static int tell(struct answer *a, u32 inum)
{
	u32 n = a->told;
	if (n >= ROOM)
		return 1;
	a->tasks[n].tgid = a->tgid;
	a->tasks[n].inum = inum;
	a->told = n + 1;
	return 0;
}

// thread goes on by a thread of the process at hand.
static int thread(struct answer *a)
{
	u64 next;
	if (READ(next, a->thread))
		return 1;
	a->thread = next == a->head ? 0 : next;
	if (!a->thread || next - at.thread_node == a->leader)
		return 0;
	u32 inum = space(next - at.thread_node);
	return inum != a->inum ? tell(a, inum) : 0;
}

// process goes on by a process.
static int process(struct answer *a)
{
	u64 next, signal;
	u32 threads;
	if (a->whole || READ(next, a->leader + at.tasks))
		return 1;
	a->leader = next - at.tasks;
	a->whole = a->leader == a->first; // it is the last one
	if (READ(a->tgid, a->leader + at.tgid) || READ(signal, a->leader + at.signal) || READ(threads, signal + at.nr_threads))
		return 1;
	a->inum = space(a->leader);
	if (threads > 1)
		a->thread = a->head = signal + at.thread_head;
	return a->tgid ? tell(a, a->inum) : 0; // 0 is the idle one
}

static long step(u32 i, struct answer **walk)
{
	struct answer *a = *walk;
	return a->thread ? thread(a) : process(a);
}

SEC("raw_tracepoint") int spaces(u64 *args)
{
	u32 zero = 0;
	struct answer *a = bpf_map_lookup_elem(&answers, &zero);
	if (!a)
		return 1;
	a->told = a->whole = 0;
	a->thread = 0;
	if (READ(a->first, bpf_get_current_task() + at.leader))
		return 1;
	a->leader = a->first;
	bpf_loop(STEPS, step, &a, 0);
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
