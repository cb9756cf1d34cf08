package door

import (
	"errors"
	"strings"
	"syscall"
)

// ErrSecret is the error of a path that sexton does not read as a file: it may
// hold a secret (environ), may not return (cmdline), leads into another file
// system (root/...), or is on no list yet. To ask for one is a mistake in the
// program. What may block, and is wanted all the same, goes through
// [Door.Ask].
var ErrSecret = errors.New("not among the files that sexton reads")

// The operations of a Door, as [Error.Op] and recordings spell them.
const (
	opRead    = "read"
	opLink    = "readlink"
	opDir     = "readdir"
	opAsk     = "ask"
	maxPath   = 4095 // PATH_MAX without its NUL
	pidPrefix = "/proc/"
)

// refuse returns why op is not done on path, nil if it may be. It holds for
// every door alike, so that a live look and its recording know the same files.
//
// It is a list of what may pass. All of it stays readable while a process's
// mmap_lock is held (measured on Linux 6.18), and none of it holds what a
// program was given to keep.
func refuse(op, path string) error {
	if op == opAsk {
		if path == "" || len(path) > maxPath {
			return syscall.EINVAL
		}
		return nil
	}
	if !clean(path) {
		return syscall.EINVAL
	}
	if rest, ok := strings.CutPrefix(path, pidPrefix); ok {
		first, rest, _ := strings.Cut(rest, "/")
		switch {
		case number(first):
			return verdict(mayProcess(op, rest))
		case first == "self" || first == "thread-self":
			return verdict(mayProcess(op, rest) || rest == "" && op == opLink)
		}
		return verdict(mayProc(op, first, rest))
	}
	if rest, ok := strings.CutPrefix(path, "/sys/"); ok {
		return verdict(maySys(op, rest))
	}
	return verdict(op == opDir && (path == "/proc" || path == "/sys"))
}

func verdict(ok bool) error {
	if ok {
		return nil
	}
	return ErrSecret
}

// clean reports whether path is absolute and means the same however it is walked.
func clean(path string) bool {
	if len(path) < 2 || len(path) > maxPath || path[0] != '/' {
		return false
	}
	start := 1 // of the current component
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if path[i] == 0 {
				return false
			}
			continue
		}
		switch i - start {
		case 0:
			return false
		case 1, 2:
			if name := path[start:i]; name == "." || name == ".." {
				return false
			}
		}
		start = i + 1
	}
	return true
}

func number(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// mayProcess judges what is below /proc/PID or, once, /proc/PID/task/TID.
func mayProcess(op, rest string) bool {
	if task, ok := strings.CutPrefix(rest, "task/"); ok {
		tid, below, _ := strings.Cut(task, "/")
		if !number(tid) || below == "task" || strings.HasPrefix(below, "task/") {
			return false
		}
		rest = below
	}
	dir, name, below := strings.Cut(rest, "/")
	if below && strings.Contains(name, "/") {
		return false
	}
	switch op {
	case opDir:
		switch rest {
		case "", "task", "fd", "fdinfo", "ns", "net":
			return true
		}
	case opLink:
		if below {
			return dir == "ns" || dir == "fd" && number(name)
		}
		return rest == "exe" || rest == "cwd" || rest == "root"
	case opRead:
		if below {
			return dir == "net" || dir == "fdinfo" && number(name) || rest == "attr/current"
		}
		switch rest {
		case "stat", "status", "statm", "comm", "cgroup", "wchan", "syscall", "stack", "mountinfo", "limits",
			"children", "sched", "schedstat", "io", "oom_score", "oom_score_adj", "uid_map", "gid_map",
			"setgroups", "cpuset", "loginuid", "sessionid", "personality", "timerslack_ns", "timens_offsets":
			return true
		}
	}
	return false
}

// mayProc judges /proc/FIRST/REST where FIRST is no process.
func mayProc(op, first, rest string) bool {
	if first == "sys" {
		// A path below binfmt_misc wakes systemd's automount.
		return op != opLink && !within(rest, "fs/binfmt_misc") && !secretName(op, rest)
	}
	if rest != "" {
		return op == opRead && (first == "net" || first == "pressure" || first == "sysvipc") && !strings.Contains(rest, "/")
	}
	switch first {
	case "loadavg", "stat", "uptime", "version", "meminfo", "vmstat", "cgroups", "filesystems", "devices",
		"partitions", "diskstats", "swaps", "modules", "locks", "cpuinfo", "buddyinfo", "zoneinfo", "schedstat":
		return op == opRead
	case "net", "pressure", "sysvipc":
		return op == opDir
	}
	return false
}

// maySys judges what is below /sys.
func maySys(op, rest string) bool {
	// debug and tracing hold pipes that block and an automount; config holds
	// passwords of storage targets; firmware holds keys.
	for _, tree := range []string{"kernel/debug", "kernel/tracing", "kernel/config", "firmware"} {
		if within(rest, tree) {
			return false
		}
	}
	return !secretName(op, rest)
}

func within(path, tree string) bool {
	rest, ok := strings.CutPrefix(path, tree)
	return ok && (rest == "" || rest[0] == '/')
}

// secretName reports whether a file's name says that it holds a secret, such
// as /sys/class/iscsi_session/*/password and /proc/sys/net/*/stable_secret.
func secretName(op, path string) bool {
	return op == opRead && secretKey(path[strings.LastIndexByte(path, '/')+1:])
}
