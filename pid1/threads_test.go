package pid1

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReserveThreads keeps as many goroutines in system calls at a time as the
// loop can, in a process of its own: no thread may be made for them.
func TestReserveThreads(t *testing.T) {
	const name = "SEXTON_TEST_THREADS"
	if os.Getenv(name) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestReserveThreads$")
		cmd.Env = append(os.Environ(), name+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}

	reserveThreads()
	reserved := countThreads(t, "")
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	const calls = 3 // one thread runs this function
	for range calls {
		go syscall.Read(pipe[0], make([]byte, 1))
	}
	reading := fmt.Sprintf("%d %#x ", syscall.SYS_READ, pipe[0])
	for end := time.Now().Add(10 * time.Second); countThreads(t, reading) < calls; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d of %d read", countThreads(t, reading), calls)
		}
	}
	if now := countThreads(t, ""); now != reserved {
		t.Errorf("%d threads, with %d in system calls %d", reserved, calls, now)
	}
}

// countThreads counts this process's threads whose system call begins so.
func countThreads(t *testing.T, call string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/syscall")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(text), call) {
			n++
		}
	}
	return n
}
