package pidfd

import (
	"os"
	"os/exec"
	"testing"

	"sexton.dev/internal/hosttest"
)

// What waits in a process's pipe is counted and stays there; what is no pipe has nothing.
func TestUnread(t *testing.T) {
	hosttest.NeedsRoot(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	file, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("sleep", "1000")
	cmd.Stdin, cmd.Stderr = file, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p := parentOf(t, cmd.Process.Pid)
	for _, text := range []string{"", "abc", "defg"} {
		w.WriteString(text)
	}
	for fd, want := range map[int]int{0: 0, 1: 0, 2: 7, 99: 0, -1: 0} {
		if n := p.Unread(fd); n != want {
			t.Errorf("descriptor %d: %d, want %d", fd, n, want)
		}
	}
	b := make([]byte, 100)
	if n, err := r.Read(b); err != nil || string(b[:n]) != "abcdefg" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if n := p.Unread(2); n != 0 {
		t.Errorf("%d bytes after they were read", n)
	}
}
