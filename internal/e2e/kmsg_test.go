package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// told is a line of kmsg -o jsonl, and when it came.
type told struct {
	Family, ContainerID, VictimProcess string
	Time                               time.Time
	came                               time.Time
}

// kmsgFollow runs sexton kmsg --follow until the test ends, and gives what it tells.
func kmsgFollow(t *testing.T) <-chan told {
	t.Helper()
	unix.Close(openKernelLog(t))
	argv := append(withKernelLog(world{}).enter, sexton(), "kmsg", "--follow", "-o", "jsonl")
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	events, ended := make(chan told, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(events)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			e := told{came: time.Now()}
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				select {
				case events <- e:
				default: // an old ring that is full of trouble
				}
			}
		}
	}()
	hosttest.Until(t, soon, "it has the log open", func() bool {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", cmd.Process.Pid))
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		return exe == sexton() && slices.ContainsFunc(fds, func(fd string) bool { to, _ := os.Readlink(fd); return to == "/dev/kmsg" })
	})
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT)
		<-ended
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != clean {
			t.Errorf("it ended with %d when it was interrupted", code)
		}
	})
	return events
}

// A container's program that is killed for want of memory is told within a second,
// with its container, also when the container is gone at once.
func TestFollowTellsInTime(t *testing.T) {
	d := startDocker(t)
	events := kmsgFollow(t)
	for i := range 3 {
		eater := d.create(fmt.Sprintf("eater%d", i), []string{"--memory=16m", "--memory-swap=16m"}, "/bin/busybox", "tail", "/dev/zero")
		killed := deathOf(t, eater.id, "busybox", "tail")
		d.do("start", eater.id)
		end := time.After(soon)
		for found := false; !found; {
			select {
			case e, open := <-events:
				if !open {
					t.Fatal("it has ended")
				}
				if found = e.ContainerID == eater.id; !found {
					continue
				}
				hosttest.Until(t, soon, "this test is told of the kill too", func() bool { return !killed.when().IsZero() })
				late, off := e.came.Sub(killed.when()), e.Time.Sub(killed.when())
				t.Logf("told %v after the kernel told of it, as of %v", late.Round(time.Millisecond), off.Round(time.Millisecond))
				if e.Family != "oom" || e.VictimProcess != "busybox" && e.VictimProcess != "tail" || late > time.Second {
					t.Errorf("%+v, told after %v", e, late)
				}
				if off.Abs() > soon { // the clock of the log is set by nobody, and goes a little wrong
					t.Errorf("%+v, killed at %v", e, killed.when())
				}
			case <-end:
				t.Fatalf("container %s: no event in %v", eater.id, soon)
			}
		}
		d.do("rm", "-f", eater.id)
	}
}
