package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
		eater := d.runOf(image, fmt.Sprintf("eater%d", i), []string{"--memory=16m", "--memory-swap=16m"}, "/bin/busybox", "sh", "-c", "sleep 0.3; exec /bin/busybox tail /dev/zero")
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
				late := e.came.Sub(e.Time)
				t.Logf("told %v after it happened", late.Round(time.Millisecond))
				if e.Family != "oom" || e.VictimProcess != "busybox" && e.VictimProcess != "tail" || late > time.Second {
					t.Errorf("%+v, told after %v", e, late)
				}
			case <-end:
				t.Fatalf("container %s: no event in %v", eater.id, soon)
			}
		}
		d.do("rm", "-f", eater.id)
	}
}
