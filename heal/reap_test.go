package heal

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// A child that its parent has a pidfd on is known to be watched, and no other is.
func TestWatchedBy(t *testing.T) {
	var cmds [2]*exec.Cmd
	for i := range cmds {
		cmds[i] = exec.Command("sleep", "60")
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmds[i].Process.Kill(); cmds[i].Wait() })
	}
	before, err := watchedBy(os.Getpid()) // Go watches its children itself
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(os.Getppid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	after, err := watchedBy(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before[os.Getppid()] || !after[os.Getppid()] || !after[cmds[0].Process.Pid] || after[1<<22+1] {
		t.Errorf("before %v, after %v", before, after)
	}
	if _, err := watchedBy(1 << 22); err == nil {
		t.Error("a process that is not there watches nobody")
	}
}
