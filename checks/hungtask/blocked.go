package hungtask

import (
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

const sigkill = 9

// blocked reports a process with a thread that stayed in D, or whose mmap_lock is held.
func (j *judge) blocked(was, now *snapshot.Process) []check.Finding {
	stuck := stillBlocked(was, now)
	if len(stuck) == 0 && !(was.Blocked && now.Blocked) || j.now.Frozen(now) != nil {
		return nil
	}
	label := check.Label(j.now, now)
	f := check.Finding{
		ID:       check.Identity(name, now.ID()),
		Severity: check.Warning,
		Subject:  check.SubjectOf(j.now, now),
		Title:    label + " is blocked in the kernel",
		Cause:    "What it waits for could not be read",
		Harm:     "It does not run and no signal ends it: kill -9, docker stop and pod deletion wait with it",
		Since:    j.before.Taken,
	}
	for _, t := range stuck {
		f.Evidence = append(f.Evidence, waitEvidence(now.PID, t)...)
	}
	if len(stuck) > 0 {
		f.Title += ": " + where(stuck[0])
		f.Cause = fmt.Sprintf("It waits for %s", class(stuck[0]))
	}
	j.behindFUSE(&f, now, stuck)
	if now.Blocked {
		f.Severity = check.Critical
		f.Title += ", with its mmap_lock held"
		f.Harm += ". Whoever reads its command line or maps blocks too: ps, pgrep, top -c, lsof, fuser, monitoring"
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/cmdline", now.PID), Text: "a read did not return within 0.3 s"})
	}
	if now.Detail != nil && now.Detail.Pending.Has(sigkill) {
		f.Severity = check.Critical
		f.Evidence = append(f.Evidence, check.Evidence{Source: fmt.Sprintf("/proc/%d/status", now.PID), Text: "KILL is pending: it was killed and cannot die"})
	}
	return []check.Finding{f}
}

// stillBlocked returns the threads that were in D in both looks and did not run in between.
func stillBlocked(was, now *snapshot.Process) []snapshot.Task {
	var out []snapshot.Task
	for _, t := range now.Tasks {
		i := slices.IndexFunc(was.Tasks, func(b snapshot.Task) bool { return b.TID == t.TID })
		if i < 0 || t.State != snapshot.Uninterruptible || was.Tasks[i].State != snapshot.Uninterruptible {
			continue
		}
		if t.Switches == was.Tasks[i].Switches {
			out = append(out, t)
		}
	}
	return out
}

func waitEvidence(pid int, t snapshot.Task) []check.Evidence {
	text := fmt.Sprintf("thread %q, state D in both looks and no context switch between them (%d)", t.Comm, t.Switches)
	out := []check.Evidence{{Source: fmt.Sprintf("/proc/%d/task/%d/status", pid, t.TID), Text: text}}
	if at := where(t); at != unseen {
		out = append(out, check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d/wchan", pid, t.TID), Text: at})
	}
	if t.Stack != "" {
		out = append(out, check.Evidence{Source: fmt.Sprintf("/proc/%d/task/%d/stack", pid, t.TID), Text: t.Stack})
	}
	return out
}

const unseen = "where is hidden from this user"

// where names the kernel function and the system call that a thread waits in.
func where(t snapshot.Task) string {
	var parts []string
	if t.Wchan != "" && t.Wchan != "0" {
		parts = append(parts, t.Wchan)
	}
	if t.Syscall != "" {
		parts = append(parts, "system call "+t.Syscall)
	}
	if len(parts) == 0 {
		return unseen
	}
	return strings.Join(parts, ", ")
}

// classes tell by a kernel function's name what a thread waits for. The first
// that is found in the wait channel or the stack holds.
var classes = []struct{ in, what string }{
	{"fuse", "a FUSE file system's server"}, {"request_wait_answer", "a FUSE file system's server"},
	{"nfs", "an NFS server"}, {"rpc_wait", "an NFS server"}, {"ceph", "a Ceph cluster"}, {"cifs", "an SMB server"}, {"smb2", "an SMB server"},
	{"refrigerator", "the freezer: its cgroup is frozen"}, {"vfork", "its child after vfork, which has not executed a program yet"},
	{"mmap_lock", "an mmap_lock that another thread holds"}, {"access_remote_vm", "another process's mmap_lock"},
	{"jbd2", "a journal commit of its file system"}, {"xfs_log", "the log of its file system"}, {"dm_", "a device-mapper device"},
	{"submit_bio_wait", "a block device"}, {"blk_", "a block device"}, {"io_schedule", "a block device"}, {"folio_wait", "a page to be read or written"},
	{"rwsem", "a read-write lock in the kernel"}, {"mutex", "a lock in the kernel"}, {"synchronize_rcu", "a grace period of the kernel"},
}

func class(t snapshot.Task) string {
	for _, c := range classes {
		if strings.Contains(t.Wchan, c.in) || strings.Contains(t.Stack, c.in) {
			return c.what
		}
	}
	return "something in the kernel that its wait channel names"
}
