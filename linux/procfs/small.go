package procfs

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// ParseChildren parses one /proc/PID/task/TID/children: pids in the order in
// which they became children of the thread.
//
// Source: proc_tid_children(5); Linux 6.12 fs/proc/array.c, children_seq_show.
func ParseChildren(text []byte) ([]int, error) {
	pids, ok := counts(text)
	if !ok || slices.Contains(pids, 0) {
		return nil, bad("children", "pids", text)
	}
	return pids, nil
}

// ParseLoadavg returns how many threads exist in the host, zombies too: the
// number behind the slash in /proc/loadavg.
//
// Source: proc_loadavg(5); Linux 6.12 fs/proc/loadavg.c.
func ParseLoadavg(text []byte) (tasks int, err error) {
	if fields := bytes.Fields(text); len(fields) >= 4 {
		if _, all, ok := bytes.Cut(fields[3], []byte{'/'}); ok {
			if n, ok := count(all); ok {
				return n, nil
			}
		}
	}
	return 0, bad("loadavg", "tasks in", text)
}

// ParseUptime returns the seconds since boot of /proc/uptime, time asleep included.
//
// Source: proc_uptime(5).
func ParseUptime(text []byte) (seconds float64, err error) {
	const longest = 9e9 // what a time.Duration holds, 285 years
	word, _ := nextWord(text)
	seconds, err = strconv.ParseFloat(string(word), 64)
	plain := strings.Trim(string(word), "0123456789.") == "" // ParseFloat takes 0x1p4, inf and 1e3 too
	if err != nil || !plain || seconds >= longest {
		return 0, bad("uptime", "seconds", word)
	}
	return seconds, nil
}

// ParseSyscall returns the number of the system call that a thread is in, from
// /proc/PID/task/TID/syscall; -1 for a thread blocked outside of one. running
// says that the thread was not blocked at all.
//
// Source: proc_pid_syscall(5); Linux 6.12 fs/proc/base.c, proc_pid_syscall.
func ParseSyscall(text []byte) (number int, running bool, err error) {
	word, _ := nextWord(text)
	if string(word) == "running" {
		return -1, true, nil
	}
	n, ok := integer(word)
	if !ok {
		return -1, false, bad("syscall", "number", word)
	}
	return n, false, nil
}

// ParseNumber parses a file that holds one number that fits an int32, such as /proc/sys/kernel/pid_max.
func ParseNumber(text []byte) (int, error) {
	n, ok := integer(bytes.TrimSpace(text))
	if !ok {
		return 0, bad("number", "value", text)
	}
	return n, nil
}

// ParseNamespace returns the kind and the nsfs inode of a /proc/PID/ns link, as "mnt:[4026531841]".
//
// Source: namespaces(7); Linux 6.12 fs/nsfs.c, ns_dname.
func ParseNamespace(link string) (kind string, inode uint64, err error) {
	kind, rest, ok := strings.Cut(link, ":[")
	digits, closed := strings.CutSuffix(rest, "]")
	inode, fine := number([]byte(digits))
	if !ok || !closed || !fine || kind == "" {
		return "", 0, bad("namespace", "link", []byte(link))
	}
	return kind, inode, nil
}

// ParseArgv splits /proc/PID/cmdline. A process may have written anything
// there, and some pad it with NUL: empty arguments at the end are dropped.
func ParseArgv(text []byte) []string {
	text = bytes.TrimRight(text, "\x00")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// ParseFDInfo returns the values of the keys in /proc/PID/fdinfo/N: "pos",
// "flags", "mnt_id", "Pid", "fuse_connection" and so on. A key that comes
// twice keeps its first value.
//
// Source: proc_pid_fdinfo(5).
func ParseFDInfo(text []byte) map[string]string {
	out := map[string]string{}
	for line := range bytes.Lines(text) {
		key, value, ok := bytes.Cut(line, []byte{':'})
		if _, twice := out[string(key)]; ok && !twice {
			out[string(key)] = string(bytes.TrimSpace(value))
		}
	}
	return out
}

// ParseStack returns the functions of a /proc/PID/task/TID/stack, deepest
// first, at most most of them; addresses and offsets are left out.
//
// Source: proc_pid_stack(5); Linux 6.12 fs/proc/base.c, proc_pid_stack.
func ParseStack(text []byte, most int) []string {
	var out []string
	for line := range bytes.Lines(text) {
		_, name, ok := strings.Cut(strings.TrimSpace(string(line)), "] ")
		name, _, _ = strings.Cut(name, "+0x")
		if !ok || name == "" || len(out) == most {
			continue
		}
		out = append(out, name)
	}
	return out
}
