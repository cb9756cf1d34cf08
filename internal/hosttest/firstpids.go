package hosttest

import (
	"fmt"
	"os"
	"testing"
)

// FirstPIDs reports whether this process is in the machine's first PID namespace:
// only there are the kernel's threads, and from there alone does the kernel lead to
// every mount namespace.
//
// Source: Linux 3.8 include/linux/proc_ns.h, PROC_PID_INIT_INO.
func FirstPIDs(t testing.TB) bool {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	return link == "pid:[4026531836]"
}

// NeedsKernelThreads is for what looks at one, kthreadd (pid 2). Unlike a lack that
// [Needs] tells of, this one nobody can mend in another PID namespace: there the test
// is left out, SEXTON_MUST_RUN or not, and a line in the file that SEXTON_LEFT_OUT
// names says so at the end of scripts/test.sh. In the machine's first PID namespace
// nothing is left out.
func NeedsKernelThreads(t testing.TB) {
	t.Helper()
	if FirstPIDs(t) {
		return
	}
	if name := os.Getenv("SEXTON_LEFT_OUT"); name != "" {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := fmt.Fprintf(file, "kernel-threads: %s\n", t.Name()); err != nil {
			t.Fatal(err)
		}
	}
	t.Skip("needs kernel-threads: run it outside of a container")
}
