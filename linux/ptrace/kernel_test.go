package ptrace

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

const patience = 20 * time.Second // for what should come at once, on a machine that is busy

func TestStopOf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status uint32
		want   stop
	}{
		{"ended", 0x0300, stop{kind: gone}},
		{"killed", 0x0009, stop{kind: gone}},
		{"asked to stop", 0x80057f, stop{kind: byInterrupt}},
		{"all threads are stopped", 0x80137f, stop{byGroup, unix.SIGSTOP}},
		{"a signal", 0x0a7f, stop{bySignal, unix.SIGUSR1}},
		{"a trap of its own", 0x057f, stop{bySignal, unix.SIGTRAP}},
		{"a call", 0x857f, stop{kind: byCall}},
		{"an event that was not asked for", 0x04057f, stop{kind: byOther}},
	} {
		if got := stopOf(tt.status); got != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

// waiterOf is for the rest of a test, which stays on its thread.
func waiterOf(t *testing.T) *waiter {
	t.Helper()
	runtime.LockOSThread()
	w, err := newWaiter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close(); runtime.UnlockOSThread() })
	return w
}

func TestWait(t *testing.T) {
	w := waiterOf(t)
	if got := w.wait(1<<22+1, 0); got.kind != gone {
		t.Errorf("nobody: %+v", got)
	}
	c := exec.Command("/bin/sleep", "100")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	if got := w.wait(c.Process.Pid, 20*time.Millisecond); got.kind != late {
		t.Errorf("one that does not stop: %+v", got)
	}
}

// What is asked for holds until it is undone; a machine may not have it to ask.
func TestAwake(t *testing.T) {
	hosttest.NeedsRoot(t)
	latency := func() int32 {
		text, err := os.ReadFile("/dev/cpu_dma_latency")
		if err != nil || len(text) < 4 {
			return -1
		}
		return int32(binary.NativeEndian.Uint32(text))
	}
	var was int32
	hosttest.Until(t, patience, "no other program asks for it", func() bool { was = latency(); return was != 0 })
	undo := awake()
	if got := latency(); got != min(was, 0) {
		t.Errorf("%d us, before %d", got, was)
	}
	undo()
	hosttest.Until(t, patience, fmt.Sprintf("it is %d us again", was), func() bool { return latency() == was }) // others ask, too
}
