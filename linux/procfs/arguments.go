package procfs

import (
	"bytes"
	"strconv"
	"strings"
)

// ParseArgument returns one of the six arguments, from 0, of the system call that
// a thread is blocked in, from /proc/PID/task/TID/syscall; false for a thread
// that runs or is in none.
//
// Source: proc_pid_syscall(5); Linux 6.12 fs/proc/base.c, proc_pid_syscall.
func ParseArgument(text []byte, i int) (uint64, bool) {
	words := bytes.Fields(text)
	const most = 6
	if i < 0 || i >= most || len(words) < 1+most || bytes.HasPrefix(words[0], []byte("-")) {
		return 0, false
	}
	hex, ok := strings.CutPrefix(string(words[1+i]), "0x")
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, ok && err == nil
}
