package main

// The program begins at sexton_entry (entry_linux_amd64.s, entry_linux_arm64.s),
// before the Go runtime does: the runtime ends with a trace of its own innards
// when it is refused a thread or memory, which is what an exhausted host does.
// The entry tries both, says in the words of every other error what is missing
// and leaves with cli.CantTell; else it jumps to the runtime. The linker must be
// told (-E sexton_entry, see Makefile). Without, and on other architectures, the
// program begins at the runtime's own entry and is the same but for this.
//
// It makes the threads as the runtime does, all at once, lets them end, and waits
// until the kernel has cleared the word of each. They run on the caller's stack,
// which none of them touches; no handler is there yet that could. Only EAGAIN and
// ENOMEM are a refusal that the runtime would share: after another error (a
// seccomp filter that knows only the runtime's own flags) it may try.
//
// The runtime makes threads by the number of its Ps: a scan has 10 at most with 4
// Ps, but 28 with 64 and over 70 with 256, for one collection of garbage before
// main. So the entry puts GOMAXPROCS=2 before the environment, for which argc and
// argv move down by two words; it wins over the user's. One goroutine does most of
// the work; an only P would be taken from it at each system call, a second idles.
//
// What remains: whoever starts processes between this look and the last thread
// that the runtime makes, some 10 ms later, can take the room. The runtime then
// tries again for 0.2 s, and dies. So may one of several hidden children that look
// at the same moment: each sees the room of all.
//
// Source: Go 1.26 runtime/os_linux.go, newosproc; runtime/proc.go, schedinit;
// clone(2), set_tid_address(2); Linux 6.18 kernel/fork.c, mm_release.
const (
	// threads must be possible beside the first one. A scan had 10 at most, with
	// its first one (over 600 runs: scan, ps and why, one look and two, busy and
	// idle host, 8 silent runtimes), so 7 are left.
	threads = 16
	// hiddenThreads is the same for the hidden commands, which run beside another
	// sexton: a __child, with its GOMAXPROCS=1, had 7 at most, with its first one,
	// and so leaves 2 to its parent, which needs 1 to wait for it.
	hiddenThreads = 8

	// space is how many bytes of addresses must be free: the runtime reserves
	// 1.25 GiB and uses little of them; each further 64 MiB hold as much heap.
	// With less room it may run or die: it depends on which reservation fails.
	space = 1792 << 20
	// writable is how many of them must be mappable for writing, where RLIMIT_DATA
	// or vm.overcommit_memory=2 counts: a scan has 78 MiB, 33 of them from the
	// start (crypto/internal/fips140/drbg).
	writable = 64 << 20
)
