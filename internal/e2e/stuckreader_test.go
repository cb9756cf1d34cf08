package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// A process whose mmap_lock is held makes ps, pgrep and lsof hang. sexton does
// not, and says who it is, what it waits for and whose server is stopped.
func TestStuckReader(t *testing.T) {
	sandboxed(t)
	hosttest.Needs(t, "fuse", fileExists("/dev/fuse"), "modprobe fuse")
	leavesNothing(t)
	here := world{}
	here.sexton(t, "lab", "up", "stuck-reader", "--on-this-host", "--for", "1m").exits(t, clean)
	t.Cleanup(func() { here.sexton(t, "lab", "down", "stuck-reader").exits(t, clean) })
	reader, server := faultProcess(t, here, "reader"), faultProcess(t, here, "server")

	t.Run("at once", func(t *testing.T) { // others of this machine see the fault too: be short
		for _, argv := range [][]string{{"ps", "-ef"}, {"pgrep", "-f", "x"}, {"lsof"}} {
			t.Run(argv[0]+" hangs", func(t *testing.T) { t.Parallel(); hangs(t, argv...) })
		}
		t.Run("scan", func(t *testing.T) {
			t.Parallel()
			r := here.scan(t, findings)
			checkStuck(t, r.only(t, "hung-task", "sexton-lab:read"), reader, server)
		})
		t.Run("why", func(t *testing.T) {
			t.Parallel()
			here.sexton(t, "why", fmt.Sprint(reader)).exits(t, findings).
				says(t, fmt.Sprintf("sexton-lab:read (pid %d) is blocked in the kernel", reader), "fuse.sexton-lab at /mnt",
					fmt.Sprintf("sexton-lab:fuse (pid %d), which is stopped", server))
		})
		t.Run("why server", func(t *testing.T) {
			t.Parallel()
			here.sexton(t, "why", fmt.Sprint(server)).exits(t, findings).says(t, "stopped (state T)", "sexton-lab:read")
		})
		t.Run("holders", func(t *testing.T) {
			t.Parallel()
			h := whoHolds(t, here, "/mnt")
			if len(h.Holders) == 0 || h.Holders[0].Kind != "process" || h.Holders[0].MountNamespace != spaceOf(t, server) {
				t.Errorf("held by %+v", h.Holders)
			}
			h.says(t, fmt.Sprintf(`process %d","why":"it waits for a dead file system or a held lock`, reader))
		})
		t.Run("ps", func(t *testing.T) {
			t.Parallel()
			here.sexton(t, "ps").exits(t, clean).says(t, "sexton-lab:read [", "mmap_lock held: ps(1) hangs on it",
				fmt.Sprintf("FUSE server sexton-lab:fuse (pid %d) is in state T", server))
		})
	})
	nothingRuns(t) // while the fault is still there
}

func checkStuck(t *testing.T, f finding, reader, server int) {
	if f.Subject.PID != reader || f.Severity != "critical" || !strings.Contains(f.Title, "mmap_lock held") {
		t.Errorf("%s %+v: %s", f.Severity, f.Subject, f.Title)
	}
	for _, want := range []string{"fuse.sexton-lab at /mnt", fmt.Sprintf("sexton-lab:fuse (pid %d), which is stopped (SIGSTOP)", server)} {
		if !strings.Contains(f.Cause, want) {
			t.Errorf("cause without %q: %s", want, f.Cause)
		}
	}
	if len(f.Holders) != 1 || f.Holders[0].PID != server || f.Holders[0].Path != "/mnt" {
		t.Errorf("holders %+v, want the server, pid %d", f.Holders, server)
	}
}

// faultProcess returns the pid of one of the lab's processes.
func faultProcess(t *testing.T, here world, role string) int {
	t.Helper()
	var list struct {
		Items []struct {
			Name, State string
			Processes   []struct {
				Role string
				PID  int
			}
		}
	}
	r := here.sexton(t, "lab", "status", "-o", "json").exits(t, clean)
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	for _, fault := range list.Items {
		for _, p := range fault.Processes {
			if fault.State == "up" && p.Role == role {
				return p.PID
			}
		}
	}
	t.Fatalf("no %s is up\n%s", role, r)
	return 0
}

// hangs proves that a command is not done after 3 s, and ends it.
func hangs(t *testing.T, argv ...string) {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	hosttest.Needs(t, argv[0], err == nil, "scripts/install-test-needs.sh")
	cmd := exec.Command(path, argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Errorf("%s ended (%v): the host is not sick, and the test proves nothing", argv, err)
		return
	case <-time.After(3 * time.Second):
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-ended:
	case <-time.After(soon):
		t.Errorf("%s cannot be killed: state %s", argv, stateOf(cmd.Process.Pid))
	}
}
