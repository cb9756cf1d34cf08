package kmsg

import "strings"

// A rule reads the messages that begin with a cue. rest is what follows the cue.
// A rule that knows the message but sees no trouble in it gives false.
type rule struct {
	cue    string
	anchor bool // too short to be looked for inside of a line
	read   func(rest, text string) (Event, bool)
}

// rules are tried in their order; the first whose cue fits decides. The messages
// of an out-of-memory report are not here: see oomlines.go.
var rules = []rule{
	{cue: "INFO: task ", read: hungTask},
	{cue: "watchdog: BUG: soft lockup - ", read: softLockup},
	{cue: "NMI watchdog: BUG: soft lockup - ", read: softLockup},
	{cue: "BUG: soft lockup - ", read: softLockup},
	{cue: "unregister_netdevice: waiting for ", read: netDevice},
	{cue: "cgroup: fork rejected by pids controller in ", read: pidsRejected},
	{cue: "overlayfs: ", read: overlay},
	{cue: "overlay: ", anchor: true, read: overlay},
	{cue: "device-mapper: ", read: deviceMapper},
	{cue: "EXT4-fs", read: fileSystem}, {cue: "EXT3-fs", read: fileSystem}, {cue: "EXT2-fs", read: fileSystem},
	{cue: "XFS (", read: fileSystem}, {cue: "XFS: ", anchor: true, read: fileSystem}, {cue: "BTRFS", read: fileSystem}, {cue: "btrfs: ", read: fileSystem},
	{cue: "F2FS-fs ", read: fileSystem}, {cue: "FAT-fs ", read: fileSystem}, {cue: "bcachefs (", read: fileSystem},
	{cue: "JBD2: ", read: journal}, {cue: "JBD: ", anchor: true, read: journal},
	{cue: "Aborting journal on device ", read: abortedJournal},
	{cue: "Buffer I/O error on dev", read: onDevice},
	{cue: "lost page write due to I/O error on ", read: onDevice},
	{cue: "blk_update_request: ", read: blockError}, {cue: "print_req_error: ", read: blockError}, {cue: "end_request: ", read: blockError},
	{cue: "I/O error, dev ", read: blockError}, {cue: "critical ", anchor: true, read: blockError},
	{cue: "Read-error on swap-device ", read: swapError}, {cue: "Write-error on swap-device ", read: swapError},
	{cue: "sd ", anchor: true, read: scsi}, {cue: "nvme ", anchor: true, read: nvme},
	{cue: "nfs: server ", read: silentServer}, {cue: "CIFS: VFS: ", read: silentServer}, {cue: "CIFS VFS: ", read: silentServer},
	{cue: "ceph: ", anchor: true, read: silentServer}, {cue: "libceph: ", read: silentServer}, {cue: "rbd: rbd", read: rbd}, {cue: "block nbd", read: nbd},
	{cue: "BUG: workqueue lockup - ", read: softLockup},
	{cue: "SQUASHFS error: ", read: plainError}, {cue: "EROFS", anchor: true, read: fileSystem}, {cue: "GFS2: ", anchor: true, read: fileSystem},
}

// oomCues begin messages of an out-of-memory report that have no comm before them.
var oomCues = []string{
	"Memory cgroup out of memory: ", "Out of memory", "Killed process ", "oom-kill:constraint=", "oom_reaper: ", "Task in /", "Tasks in /",
	"Memory cgroup stats for /", "Memory limit reached of cgroup ", "memory: usage ",
}

// stallCues are in the messages about CPUs that do not come back but for soft lockups.
var stallCues = []string{"rcu: INFO: rcu", "INFO: rcu_", "INFO: rcu ", "NMI watchdog: Watchdog detected hard LOCKUP", "watchdog: Watchdog detected hard LOCKUP", "Watchdog detected hard LOCKUP"}

// begins finds where in a line without a known header a message begins, -1 if none does.
func begins(line string) int {
	at := -1
	look := func(cue string) {
		if i := strings.Index(line, cue); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	for _, r := range rules {
		if !r.anchor {
			look(r.cue)
		}
	}
	for _, cue := range oomCues {
		look(cue)
	}
	for _, cue := range stallCues {
		look(cue)
	}
	for _, cue := range []string{" invoked oom-killer: gfp_mask=", " cpuset="} { // behind a comm
		if i := strings.Index(line, cue); i > 0 && at < 0 {
			at = strings.LastIndexByte(line[:i], ' ') + 1
		}
	}
	return at
}

// single reads a message that is an event by itself.
func single(text string) (Event, bool) {
	for _, r := range rules {
		if rest, ok := strings.CutPrefix(text, r.cue); ok {
			return r.read(rest, text)
		}
	}
	if e, ok := remounted(text); ok {
		return e, ok
	}
	return beyondEnd(text)
}

// hungTask reads the hung task detector's "INFO: task COMM:PID blocked for more
// than N seconds." Its further lines about the same task (who owns the lock) give
// nothing.
//
// Source: Linux 3.10 to 6.18 kernel/hung_task.c.
func hungTask(rest, _ string) (Event, bool) {
	for _, how := range []string{" blocked for more than ", " can't die for more than ", " blocked in I/O wait for more than "} {
		if i := strings.LastIndex(rest, how); i > 0 {
			name, pid, ok := nameAndPID(rest[:i])
			return Event{Family: HungTask, Process: name, PID: pid}, ok
		}
	}
	return Event{}, false
}

// softLockup reads "CPU#34 stuck for 22s! [COMM:PID]".
//
// Source: Linux 3.10 to 6.18 kernel/watchdog.c, watchdog_timer_fn.
func softLockup(rest, _ string) (Event, bool) {
	e := Event{Family: SoftLockup}
	_, task, ok := strings.Cut(rest, "! [")
	end := strings.LastIndexByte(task, ']')
	if !ok || end < 0 {
		return e, strings.Contains(rest, " stuck for ")
	}
	e.Process, e.PID, _ = nameAndPID(task[:end])
	return e, true
}

// isStall reads the first message about a stall of RCU or a hard lockup; who was
// on the CPU is on a later line.
//
// Source: Linux 6.12 kernel/rcu/tree_stall.h, tasks.h, kernel/watchdog.c; the
// prefix "rcu: " came with 4.20.
func isStall(text string) bool {
	if strings.Contains(text, "Watchdog detected hard LOCKUP on cpu") {
		return strings.HasPrefix(text, "NMI watchdog: ") || strings.HasPrefix(text, "watchdog: ") || strings.HasPrefix(text, "Watchdog")
	}
	rest, _ := strings.CutPrefix(text, "rcu: ")
	return strings.HasPrefix(rest, "INFO: rcu") && (strings.Contains(rest, "detected stall") || strings.Contains(rest, "detected expedited stalls"))
}

// netDevice reads "NAME to become free. Usage count = N".
//
// Source: Linux 3.10 to 6.18 net/core/dev.c, netdev_wait_allrefs.
func netDevice(rest, _ string) (Event, bool) {
	i := strings.LastIndex(rest, " to become free")
	if i <= 0 {
		return Event{}, false
	}
	return Event{Family: NetDevice, Device: rest[:i]}, true
}

// pidsRejected reads the path of a cgroup at its pids.max.
//
// Source: Linux 4.8 to 6.18 kernel/cgroup/pids.c, pids_can_fork.
func pidsRejected(path, _ string) (Event, bool) {
	e := Event{Family: Pids}
	e.at(path)
	return e, true
}

// overlay reads "upperdir is in-use by another mount, ..." and its relatives; the
// message names no path.
//
// Source: Linux 4.13 to 6.18 fs/overlayfs/super.c, ovl_report_in_use and ovl_check_layer.
func overlay(rest, _ string) (Event, bool) {
	return Event{Family: OverlayInUse}, strings.Contains(rest, "in-use")
}

// nameAndPID reads "runc:[1:CHILD]:185318": the name may have anything in it.
func nameAndPID(s string) (name string, pid int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || !isComm(s[:i]) {
		return "", 0, false
	}
	pid, rest, ok := number(s[i+1:])
	if !ok || rest != "" {
		return "", 0, false
	}
	return s[:i], pid, true
}

const (
	longestComm = 64 // of a kernel worker, with what it works on
	processComm = 15 // of a process
)

func isComm(s string) bool { return len(s) <= longestComm }
