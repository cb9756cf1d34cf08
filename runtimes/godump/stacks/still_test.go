package stacks

import (
	"fmt"
	"strings"
	"testing"

	"sexton.dev/runtimes/godump"
)

// dumpOf is a dump of dockerd with goroutines that wait for locks, by their ids and ages.
func dumpOf(waiters ...[2]int) string {
	var b strings.Builder
	b.WriteString("goroutine 1 [running]:\ngithub.com/docker/docker/pkg/stack.DumpToFile({0x1})\n\t/src/stack.go:1 +0x1\ngithub.com/docker/docker/daemon.(*Daemon).setupDumpStackTrap.func1()\n\t/src/daemon.go:1 +0x1\n\n")
	for _, w := range waiters {
		fmt.Fprintf(&b, "goroutine %d [semacquire, %d minutes]:\nsync.(*Mutex).Lock(0xc000010000)\n\t/usr/lib/go/src/sync/mutex.go:83 +0x1\n"+
			"github.com/docker/docker/daemon.(*Daemon).ContainerInspect(0x1)\n\t/src/inspect.go:1 +0x1\n\n", w[0], w[1])
	}
	return b.String()
}

// Two dumps of one process tell a wait from work: who is where it was, and that nobody is.
func TestStill(t *testing.T) {
	for _, tt := range []struct {
		name  string
		dumps []string
		still int    // of the last one
		says  string // "" for nothing of it
	}{
		{"one dump", []string{dumpOf([2]int{7, 3})}, 0, ""},
		{"all are where they were", []string{dumpOf([2]int{7, 3}, [2]int{8, 1}), dumpOf([2]int{7, 4}, [2]int{8, 2})}, 2, "2 goroutines are where an earlier dump has them: that is no slow work."},
		{"one is", []string{dumpOf([2]int{7, 3}, [2]int{8, 1}), dumpOf([2]int{7, 4}, [2]int{9, 1})}, 1, "1 goroutine is where an earlier dump has them"},
		{"others wait now", []string{dumpOf([2]int{7, 3}), dumpOf([2]int{9, 1})}, 0, "Of 1 goroutine that was blocked in the earlier dump none is where it was: that is work, if slow."},
		{"it waits anew", []string{dumpOf([2]int{7, 3}), dumpOf([2]int{7, 1})}, 0, "none is where it was"},
		{"nothing waits any more", []string{dumpOf([2]int{7, 3}), dumpOf()}, 0, "none is where it was"},
		{"nothing waited", []string{dumpOf(), dumpOf([2]int{7, 3})}, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := New()
			text, err := godump.Read(strings.NewReader(strings.Join(tt.dumps, "\n")), f.Add)
			if err != nil {
				t.Fatal(err)
			}
			r := f.Report(text, "")
			if len(r.Dumps) != len(tt.dumps) || r.Dumps[len(r.Dumps)-1].Still != tt.still {
				t.Errorf("%+v, want %d still", r.Dumps, tt.still)
			}
			if !strings.Contains(r.Conclusion, tt.says) || tt.says == "" && strings.Contains(r.Conclusion, "earlier dump") {
				t.Errorf("%q, want %q", r.Conclusion, tt.says)
			}
		})
	}
}
