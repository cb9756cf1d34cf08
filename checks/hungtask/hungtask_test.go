package hungtask

import (
	"testing"

	"sexton.dev/check/checktest"
	"sexton.dev/snapshot"
)

func Test(t *testing.T) { checktest.Run(t, Check) }

// A wait is classed by the beginnings of kernel function names, not by parts of them.
func TestClassOf(t *testing.T) {
	for _, tt := range []struct {
		name         string
		wchan, stack string
		want         string // the cause
	}{
		{"FUSE", "request_wait_answer", "request_wait_answer < __fuse_simple_request < fuse_lookup_name", fuse.cause},
		{"FUSE below a page wait", "folio_wait_bit", "folio_wait_bit < folio_wait_writeback < fuse_vma_close < do_mmap < vm_mmap_pgoff", fuse.cause},
		{"a FUSE inode's lock", "fuse_lock_inode", "", fuse.cause},
		{"NFS", "rpc_wait_bit_killable", "rpc_wait_bit_killable < __rpc_execute < nfs4_call_sync", "It waits for an NFS server"},
		{"kernfs is no NFS", "kernfs_iop_permission", "kernfs_iop_permission < inode_permission < may_open", ""},
		{"vfork, inlined", "kernel_clone", "kernel_clone < __do_sys_clone3", vfork.cause},
		{"vfork, not inlined", "wait_for_vfork_done", "", vfork.cause},
		{"vfork, kernel 5", "_do_fork", "_do_fork < __x64_sys_vfork", vfork.cause},
		{"a fork that waits for something else", "percpu_rwsem_wait", "percpu_rwsem_wait < copy_process < kernel_clone", "It waits for a read-write lock in the kernel"},
		{"mmap_lock", "__access_remote_vm", "__access_remote_vm < proc_pid_cmdline_read < vfs_read", mmapLock.cause},
		{"below mmap, but not for the lock", "folio_wait_bit", "folio_wait_bit < filemap_fault < do_mmap < vm_mmap_pgoff", "It waits for a page to be read or written"},
		{"block device", "submit_bio_wait", "submit_bio_wait < blkdev_issue_flush < ext4_sync_file", "It waits for a block device"},
		{"journal", "jbd2_log_wait_commit", "", "It waits for the journal of its file system"},
		{"freezer", "__refrigerator", "__refrigerator < get_signal", ""},
		{"unknown", "usb_start_wait_urb", "usb_start_wait_urb < proc_do_submiturb", ""},
		{"hidden", "0", "", ""},
		{"a name that only contains a mark", "my_fuse_box", "xmutex", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := classOf(snapshot.Task{Wchan: tt.wchan, Stack: tt.stack}).cause; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
