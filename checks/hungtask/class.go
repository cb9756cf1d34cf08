package hungtask

import (
	"cmp"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

const unseen = "where is hidden from this user"

// where names the kernel function and the system call that a thread waits in.
func where(t snapshot.Task) string { return cmp.Or(check.Wait(t), unseen) }

// A class is a kind of wait, told by the names of kernel functions.
type class struct {
	marks  []string // what such a name begins with, underscores before it left out
	cause  string   // "" if it is not known
	lock   bool     // the cause is another thread, maybe of the same process
	direct bool     // only what it sleeps in counts, not what called that
	advice string
}

const (
	answers = "when it answers again the process goes on"
	holder  = "look for who holds it: a blocked thread with another wait than this, in this process or another"
	device  = "look in the kernel's log for errors or resets of the device, and at its load (iostat -x)"
)

var (
	fuse   = class{marks: []string{"fuse", "request_wait_answer"}, cause: "It waits for a FUSE file system's server"}
	vfork  = class{cause: "It waits for its child after vfork, which has not executed a program yet"}
	frozen = class{marks: []string{"refrigerator"}} // the cgroup has a finding

	// The kernel leaves a lock's own functions out of wait channels, so the
	// channel is who takes it.
	mmapLock = class{marks: []string{"access_remote_vm", "vm_munmap", "vm_mmap_pgoff", "do_mprotect", "do_madvise", "lock_mm_and_find_vma", "get_user_pages_remote", "mmap_read_lock", "mmap_write_lock"},
		cause: "It waits for an mmap_lock, its own or another process's", lock: true, direct: true, advice: holder}
)

// classes are tried in this order: the names of a file system before those of
// what it calls.
var classes = []class{
	fuse, frozen,
	{marks: []string{"nfs", "rpc_wait"}, cause: "It waits for an NFS server", advice: answers + "; umount -f of the mount ends the wait with an error"},
	{marks: []string{"ceph"}, cause: "It waits for a Ceph cluster", advice: answers},
	{marks: []string{"cifs", "smb2"}, cause: "It waits for an SMB server", advice: answers},
	{marks: []string{"coredump", "do_coredump", "vfs_coredump"}, cause: "It waits for its core dump to be written", advice: "see where kernel.core_pattern sends it, and whether there is room"},
	mmapLock,
	{marks: []string{"jbd2", "wait_transaction_locked", "xfs_log", "xlog"}, cause: "It waits for the journal of its file system", advice: device},
	{marks: []string{"dm_"}, cause: "It waits for a device-mapper device", advice: "dmsetup info and dmsetup status tell whether one is suspended or a thin pool is full"},
	{marks: []string{"submit_bio_wait", "blk_", "blkdev", "io_schedule", "bio_wait"}, cause: "It waits for a block device", advice: device},
	{marks: []string{"folio_wait", "wait_on_page"}, cause: "It waits for a page to be read or written", advice: device},
	{marks: []string{"rwsem", "down_read", "down_write", "percpu_rwsem"}, cause: "It waits for a read-write lock in the kernel", lock: true, advice: holder},
	{marks: []string{"mutex"}, cause: "It waits for a lock in the kernel", lock: true, advice: holder},
	{marks: []string{"synchronize_rcu", "wait_rcu_gp"}, cause: "It waits for an RCU grace period of the kernel: a processor does not pass one", advice: "look in the kernel's log for RCU stalls"},
}

// classOf returns the first class of which a name is found in the wait channel
// or the stack; that of none has no cause.
func classOf(t snapshot.Task) class {
	if inVfork(t) {
		return vfork
	}
	names := append([]string{t.Wchan}, strings.Split(t.Stack, " < ")...)
	for _, c := range classes {
		for i, name := range names {
			if i > 0 && c.direct {
				break
			}
			begins := func(mark string) bool { return strings.HasPrefix(strings.TrimLeft(name, "_"), mark) }
			if slices.ContainsFunc(c.marks, begins) {
				return c
			}
		}
	}
	return class{}
}

// inVfork reports whether a thread waits for the child that borrowed its
// memory: vfork, and clone as posix_spawn(3) uses it. Where the compiler put
// wait_for_vfork_done into its caller, the caller is the wait channel.
//
// Source: Linux 6.12 kernel/fork.c, kernel_clone; 5.4, _do_fork.
func inVfork(t snapshot.Task) bool {
	return slices.Contains([]string{"kernel_clone", "_do_fork", "do_fork"}, t.Wchan) || strings.Contains(t.Wchan+t.Stack, "vfork")
}

func inFUSE(t snapshot.Task) bool { return classOf(t).cause == fuse.cause }

// deepest returns the thread that tells most: one that waits for the world
// outside before those that wait for a lock, which it may hold.
func deepest(stuck []snapshot.Task) snapshot.Task {
	for _, wanted := range []func(class) bool{
		func(c class) bool { return c.cause != "" && !c.lock },
		func(c class) bool { return c.cause == "" },
	} {
		for _, t := range stuck {
			if wanted(classOf(t)) {
				return t
			}
		}
	}
	return stuck[0]
}
