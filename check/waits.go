package check

import (
	"strings"

	"sexton.dev/snapshot"
)

// StillBlocked returns the threads of a process that were in D in both looks and did
// not run in between. A count of 0 was not read: nobody comes to sleep without a switch.
func StillBlocked(was, now *snapshot.Process) (out []snapshot.Task) {
	for _, t := range now.Tasks {
		b := was.Task(t.TID)
		if b != nil && t.State == snapshot.Uninterruptible && b.State == t.State && b.Switches == t.Switches && t.Switches > 0 {
			out = append(out, t)
		}
	}
	return out
}

// Wait names the kernel function and the system call that a thread waits in, "" if
// both are hidden from this user.
func Wait(t snapshot.Task) string {
	var parts []string
	if t.Wchan != "" && t.Wchan != "0" {
		parts = append(parts, t.Wchan)
	}
	if t.Syscall != "" {
		parts = append(parts, "system call "+t.Syscall)
	}
	return strings.Join(parts, ", ")
}
