package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sexton.dev/internal/hosttest"
)

// A number that was reaped and used again between the looks, by another dead
// child of the same parent, is another process: nothing was dead for long.
func TestPIDReuse(t *testing.T) {
	sandboxed(t)
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("reuse=%v", reuse), func(t *testing.T) {
			dead := die(t)
			scan := exec.Command(sexton(), "scan", "--interval", "3s", "--check", "unreaped-children", "-o", "json")
			var stdout bytes.Buffer
			scan.Stdout = &stdout
			stderr, err := scan.StderrPipe()
			if err == nil {
				err = scan.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stderr)
			first, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(first, "looked once") {
				t.Errorf("%q, %v", first, err)
			}
			if reuse {
				dead = again(t, dead)
			}
			rest, _ := io.ReadAll(lines)
			scan.Wait()
			dead.Wait()
			found := run{argv: scan.Args, stdout: stdout.String(), stderr: string(rest)}.report(t).of("unreaped-children")
			ours := 0
			for _, f := range found {
				if f.Subject.PID == os.Getpid() {
					ours++
				}
			}
			if want := map[bool]int{false: 1, true: 0}[reuse]; ours != want {
				t.Errorf("%d findings about the parent, want %d:\n%s", ours, want, stdout.String())
			}
		})
	}
}

// die starts a child that ends at once and leaves it dead.
func die(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, soon, "the child is dead", func() bool { return strings.HasPrefix(stateOf(cmd.Process.Pid), "Z") })
	return cmd
}

// again reaps a dead child and leaves another one dead with the same number,
// which started in another tick of the clock: within one tick, a hundredth of
// a second, /proc/PID/stat tells no difference.
func again(t *testing.T, old *exec.Cmd) *exec.Cmd {
	t.Helper()
	want, started := old.Process.Pid, statOf(old.Process.Pid).start
	old.Wait()
	for range 500 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", fmt.Appendf(nil, "%d", want-1), 0); err != nil {
			t.Fatal(err)
		}
		cmd := die(t)
		if cmd.Process.Pid == want && statOf(want).start != started {
			return cmd
		}
		cmd.Wait()
	}
	t.Fatalf("pid %d was not given again", want)
	return nil
}
