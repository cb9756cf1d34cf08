// SPDX-License-Identifier: MIT OR GPL-2.0-only

// What the programs of this folder call. Source: Linux 5.17 include/uapi/linux/bpf.h, __BPF_FUNC_MAPPER.

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_probe_read_kernel)(void *to, u32 size, u64 from) = (void *)113;
static long (*bpf_probe_read_kernel_str)(void *to, u32 size, u64 from) = (void *)115;
static long (*bpf_loop)(u32 most, void *step, void *state, u64 flags) = (void *)181;

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), (from))
