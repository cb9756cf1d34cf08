// Package seccomp tells whether this process may make any system call.
package seccomp

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrFiltered is of a process that may not live after a system call which others may make.
var ErrFiltered = errors.New("a filter of system calls is on this process, which may not let it live after bpf(2)")

// Filtered returns [ErrFiltered] if a filter of system calls is on the calling thread.
// What the filter does to which call nobody tells: it may end the process.
//
// Source: seccomp(2), SECCOMP_RET_KILL_PROCESS; prctl(2), PR_GET_SECCOMP.
func Filtered() error {
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err != nil || mode != 0 {
		return ErrFiltered
	}
	return nil
}
