package kmsg

import (
	"reflect"
	"strings"
	"testing"
)

const (
	idA = "5929cf05bc9e561b7c33ffbc217250af1b94c70017743658b2558a02a1ab1424"
	idB = "6895a3e13439535852d3184ac2aadd26d7363cc035f171545ec7d4ce74073b0b"
	uid = "95387fa4-da9c-11e7-9d36-5254b24cbf5e"
)

// short is what most rows look at.
type short struct {
	family    Family
	container string
	pod       string
	process   string
	pid       int
	device    string
}

func shorts(events []Event) (out []short) {
	for _, e := range events {
		out = append(out, short{e.Family, e.Container, e.PodUID, e.Process, e.PID, e.Device})
	}
	return out
}

// Messages of one line, in the words of the kernels from 3.10 on.
func TestMessages(t *testing.T) {
	fs := func(device string) *short { return &short{family: FSError, device: device} }
	pool := func(device string) *short { return &short{family: ThinPool, device: device} }
	for _, tt := range []struct {
		text string
		want *short // nil: no trouble
	}{
		{"INFO: task kworker/u16:2:12345 blocked for more than 122 seconds.", &short{family: HungTask, process: "kworker/u16:2", pid: 12345}},
		{"INFO: task jbd2/dm-3-8:77 blocked for more than 120 seconds.", &short{family: HungTask, process: "jbd2/dm-3-8", pid: 77}},
		{"INFO: task Web Content:9 blocked for more than 120 seconds.", &short{family: HungTask, process: "Web Content", pid: 9}},
		{"INFO: task sh:9 blocked in I/O wait for more than 120 seconds.", &short{family: HungTask, process: "sh", pid: 9}},
		{"INFO: task sh:9 is blocked on a mutex likely owned by task dd:10.", nil},
		{"INFO: task sh:9 <writer> blocked on an rw-semaphore likely owned by task dd:10 <reader>", nil},
		{"INFO: task  blocked for more:3 blocked for more than 120 seconds.", &short{family: HungTask, process: " blocked for more", pid: 3}},
		{"watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:1234]", &short{family: SoftLockup, process: "kworker/3:1", pid: 1234}},
		{"watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [x]:1]:99]", &short{family: SoftLockup, process: "x]:1]", pid: 99}},
		{"BUG: soft lockup - CPU#3 stuck for 22s! [sh:x]", &short{family: SoftLockup}},
		{"unregister_netdevice: waiting for veth12ab to become free. Usage count = 2", &short{family: NetDevice, device: "veth12ab"}},
		{"unregister_netdevice: waiting for  to become free. Usage count = 2", nil},
		{"cgroup: fork rejected by pids controller in /docker/" + idA, &short{family: Pids, container: idA}},
		{"cgroup: fork rejected by pids controller in /kubepods/burstable/pod" + uid + "/" + idA, &short{family: Pids, container: idA, pod: uid}},
		{"cgroup: fork rejected by pids controller in /system.slice/cron.service", &short{family: Pids}},
		{"overlayfs: upperdir is in-use by another mount, mount with '-o index=off' to override exclusive upperdir protection.", &short{family: OverlayInUse}},
		{"overlayfs: workdir is in-use as upperdir/workdir of another mount, accessing files from both mounts will result in undefined behavior.", &short{family: OverlayInUse}},
		{"overlayfs: lowerdir path overlapping in-use upperdir/workdir", &short{family: OverlayInUse}},
		{"overlayfs: failed to resolve '/lower': -2", nil},

		{"device-mapper: thin: Deletion of thin device 86 failed.", &short{family: ThinDelete, device: "86"}},
		{"device-mapper: thin: Creation of new snapshot 12 of device 3 failed.", pool("12")},
		{"device-mapper: thin: Creation of new thinly-provisioned device with id 7 failed.", pool("7")},
		{"device-mapper: thin: 253:4: switching pool to read-only mode", pool("253:4")},
		{"device-mapper: thin: 253:4: metadata operation 'dm_pool_alloc_data_block' failed: error = -28", pool("253:4")},
		{"device-mapper: thin: 253:4: no free metadata space available.", pool("253:4")},
		{"device-mapper: thin: process_cell: dm_thin_find_block() failed: error = -5", pool("")},
		{"device-mapper: thin: Data device (dm-2) discard unsupported: Disabling discard passdown.", nil},
		{"device-mapper: space map metadata: unable to allocate new metadata block", pool("")},
		{"device-mapper: block manager: btree_node validator check failed for block 210", pool("")},
		{"device-mapper: table: 253:5: thin: Couldn't open thin internal device", pool("253:5")},
		{"device-mapper: table: 253:5: linear: Device lookup failed", fs("253:5")},
		{"device-mapper: ioctl: error adding target to table", nil},
		{"device-mapper: ioctl: 4.48.0-ioctl (2023-03-01) initialised: dm-devel@redhat.com", nil},
		{"device-mapper: ioctl: unable to remove open device docker-253:0-12-base", fs("docker-253:0-12-base")},
		{"device-mapper: multipath: 253:1: Failing path 8:32.", fs("253:1")},

		{"EXT4-fs error (device dm-7) in ext4_reserve_inode_write:4881: Journal has aborted", fs("dm-7")},
		{"EXT4-fs warning (device dm-7): ext4_end_bio:317: I/O error -5 writing to inode 12 (offset 0 size 0 starting block 9)", fs("dm-7")},
		{"EXT4-fs (dm-3): Remounting filesystem read-only", fs("dm-3")},
		{"EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro", nil},
		{"EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro. Quota mode: none.", nil},
		{"EXT4-fs (loop1): unmounting filesystem aca5d574-edf0-44e1-937e-f1ff61475f5f.", nil},
		{"EXT4-fs (dm-0): INFO: recovery required on readonly filesystem", nil},
		{"EXT3-fs error (device sda3): ext3_lookup: deleted inode referenced: 12", fs("sda3")},
		{"XFS (dm-6): Internal error xfs_trans_cancel at line 984 of file fs/xfs/xfs_trans.c.", fs("dm-6")},
		{"XFS (dm-6): xfs_do_force_shutdown(0x8) called from line 985 of file fs/xfs/xfs_trans.c. Return address = 0xffffffff", fs("dm-6")},
		{`XFS (rbd0): metadata I/O error: block 0x2 ("xlog_iodone") error 5 numblks 64`, fs("rbd0")},
		{"XFS: java(1234) possible memory allocation deadlock size 65552 in kmem_realloc (mode:0x250)", fs("")},
		{"XFS (dm-6): Mounting V5 Filesystem", nil},
		{"XFS (dm-6): Ending clean mount", nil},
		{"BTRFS: error (device dm-0) in btrfs_commit_transaction:2227: errno=-5 IO failure (Error while writing out transaction)", fs("dm-0")},
		{"BTRFS error (device sdb: state EA): bdev /dev/sdb errs: wr 1, rd 0, flush 0, corrupt 0, gen 0", fs("sdb")},
		{"BTRFS info (device dm-0): forced readonly", fs("dm-0")},
		{"BTRFS info (device dm-0): bdev /dev/dm-0 errs: wr 0, rd 0, flush 0, corrupt 1, gen 0", nil},
		{"BTRFS info (device dm-0): disk space caching is enabled", nil},
		{"BTRFS: device fsid 12 devid 1 transid 5 /dev/sdb", nil},
		{"JBD2: Detected IO errors while flushing file data on dm-0-8", fs("dm-0")},
		{"JBD2: I/O error when updating journal superblock for sda-8.", fs("sda")},
		{"Aborting journal on device nvme0n1p1-8.", fs("nvme0n1p1")},
		{"Aborting journal on device dm-70.", fs("dm-70")},
		{"Buffer I/O error on device sda1, logical block 0", fs("sda1")},
		{"lost page write due to I/O error on dm-25", fs("dm-25")},
		{"blk_update_request: critical medium error, dev sdc, sector 1 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0", fs("sdc")},
		{"I/O error, dev loop3, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", fs("loop3")},
		{"end_request: I/O error, dev fd0, sector 0", fs("fd0")},
		{"critical space allocation error, dev dm-9, sector 2", fs("dm-9")},
		{"Write-error on swap-device (253:1:8192)", fs("253:1")},
		{"dd: attempt to access beyond end of device\ndm-3: rw=0, sector=8, nr_sectors = 8 limit=8", fs("dm-3")},
		{"sd 2:0:0:0: [sda] tag#5 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_SENSE", fs("sda")},
		{"sd 2:0:0:0: [sda] Attached SCSI disk", nil},
		{"nvme nvme0: I/O 12 QID 3 timeout, aborting", fs("nvme0")},
		{"nfs: server 10.0.0.5 not responding, still trying", fs("")},
		{"nfs: server 10.0.0.5 not responding, timed out", fs("")},
		{"nfs: server 10.0.0.5 OK", nil},
		{`CIFS: VFS: \\files has not responded in 180 seconds. Reconnecting...`, fs("")},
		{"CIFS VFS: Server files has not responded in 120 seconds. Reconnecting...", fs("")},
		{"ceph: mds0 hung", fs("")},
		{"ceph: mds0 caps renewed", nil},
		{"libceph: mon0 (1)10.0.0.1:6789 session lost, hunting for new mon", fs("")},
		{"libceph: osd3 down", fs("")},
		{"libceph: osd3 up", nil},
		{"rbd: rbd0: write at objno 12 0~4096 result -108", fs("rbd0")},
		{"rbd: rbd0: encountered watch error: -107", fs("rbd0")},
		{"rbd: rbd0: capacity 1073741824 features 0x1", nil},
		{"block nbd0: Connection timed out", fs("nbd0")},
		{"block nbd0: Receive control failed (result -32)", fs("nbd0")},
		{"block nbd0: NBD_DISCONNECT", nil},
		{"BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 34s!", &short{family: SoftLockup}},
		{"loop1: detected capacity change from 0 to 16384", nil},
		{"", nil},
	} {
		t.Run(tt.text, func(t *testing.T) {
			var want []short
			if tt.want != nil {
				want = []short{*tt.want}
			}
			// As the device gives it, as dmesg and as journalctl print it, and alone.
			text := strings.ReplaceAll(tt.text, "\n", `\x0a`)
			r, err := ParseRecord([]byte("3,17,1000000,-;" + text + "\n SUBSYSTEM=x\n"))
			if err != nil {
				t.Fatal(err)
			}
			var a Assembler
			if got := shorts(append(a.Add(r), a.Flush()...)); !reflect.DeepEqual(got, want) {
				t.Errorf("of a record: %+v, want %+v", got, want)
			}
			if strings.Contains(tt.text, "\n") {
				return
			}
			for _, head := range []string{"[   12.345678] ", "[   12.345678][ T1234] ", "Nov 23 14:32:51 node1 kernel: ", "Nov 23 14:32:51 node1 kernel: [  12.345678] ", "<4>[Thu Dec  7 00:05:14 2017] ", "kern  :err   : [   12.345678] ", ""} {
				if got := shorts(read(t, head+tt.text+"\n")); !reflect.DeepEqual(got, want) {
					t.Errorf("after %q: %+v, want %+v", head, got, want)
				}
			}
		})
	}
}

// Who was on the CPU is told some lines later.
func TestStalls(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []short
	}{
		{"rcu of 4.19 on", "[1.000000] rcu: INFO: rcu_sched self-detected stall on CPU\n[1.000001] rcu: \t24-....: (14837 ticks this GP)\n[1.000002] CPU: 24 UID: 0 PID: 11253 Comm: bash Kdump: loaded Tainted: G            EL      6.12.0\n", []short{{family: SoftLockup, process: "bash", pid: 11253}}},
		{"rcu of 3.10", "INFO: rcu_sched detected stalls on CPUs/tasks: { 3} (detected by 1, t=60002 jiffies, g=1, c=0, q=0)\nCPU: 3 PID: 7 Comm: a Tainted: b Not tainted 3.10.0\n", []short{{family: SoftLockup, process: "a", pid: 7}}},
		{"idle", "rcu: INFO: rcu_preempt self-detected stall on CPU\nCPU: 3 PID: 0 Comm: swapper/3 Not tainted\n", []short{{family: SoftLockup}}},
		{"hard lockup", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3\nCPU: 3 PID: 8 Comm: java Not tainted 4.4.0\n", []short{{family: SoftLockup, process: "java", pid: 8}}},
		{"nobody told", "rcu: INFO: rcu_sched self-detected stall on CPU\n" + strings.Repeat("x\n", 50) + "CPU: 3 PID: 8 Comm: java Not tainted 4.4.0\n", []short{{family: SoftLockup}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := shorts(read(t, tt.text)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
