package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes/runtimestest"
)

// background runs a command in the sandbox until the test ends.
func background(t *testing.T, argv ...string) int {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// killed counts what became of the runs of TestKilled.
type killed struct{ inTime, late, cut, whole, none int }

// Whenever sexton is killed it leaves no process and no mount, and a recording
// that was not finished is refused for what it is.
func TestKilled(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	forget(t)
	trials, seed := int(hosttest.Number(t, "SEXTON_TRIALS", 40)), hosttest.Number(t, "SEXTON_SEED", uint64(time.Now().UnixNano()))
	random := rand.New(rand.NewPCG(seed, 0))
	// A silent daemon, so that there is a child that could be left.
	here := world{docker: runtimestest.Serve(t, runtimestest.Swallow)}
	dir := t.TempDir()
	var n killed
	for done := 0; done < trials && !t.Failed(); {
		var batch []*victim
		for ; len(batch) < 4 && done < trials; done++ {
			batch = append(batch, newVictim(done, dir, random))
		}
		for _, v := range batch {
			v.start(t, here)
		}
		for _, v := range batch {
			v.wait(&n)
		}
		nothingRuns(t)
		for _, v := range batch {
			v.judge(t, here, &n)
		}
	}
	t.Logf("%d trials (SEXTON_TRIALS), seed %d (SEXTON_SEED): %d killed while running, %d had ended; of the recordings %d cut, %d whole, %d not begun",
		trials, seed, n.inTime, n.late, n.cut, n.whole, n.none)
	if trials >= 40 && !t.Failed() && (n.inTime < trials/2 || n.cut == 0) {
		t.Errorf("too few were killed in the middle to prove anything: %+v", n)
	}
}

// A victim is one run that is killed after a while.
type victim struct {
	args  []string
	file  string // recording, "" for none
	after time.Duration
	cmd   *exec.Cmd
	ended chan error
}

func newVictim(i int, dir string, random *rand.Rand) *victim {
	v := &victim{after: time.Duration(random.Int64N(int64(1900 * time.Millisecond))), ended: make(chan error, 1)}
	file := filepath.Join(dir, fmt.Sprintf("%d.tar.zst", i))
	switch random.IntN(3) {
	case 0:
		v.args = []string{"scan"}
	case 1:
		v.file, v.args = file, []string{"scan", "--record", file}
	case 2:
		v.file, v.args = file, []string{"record", file}
	}
	v.args = append(v.args, "--interval=300ms", "--ask-again")
	return v
}

func (v *victim) String() string { return fmt.Sprintf("%v, killed after %v", v.args, v.after) }

// start starts the run, and a clock that kills it.
func (v *victim) start(t *testing.T, here world) {
	t.Helper()
	v.cmd = exec.Command(sexton(), v.args...)
	v.cmd.Env = here.env()
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	clock := time.AfterFunc(v.after, func() { v.cmd.Process.Kill() })
	go func() {
		err := v.cmd.Wait()
		clock.Stop()
		// A child that asks a silent daemon would give up by itself a little later.
		for end := time.Now().Add(700 * time.Millisecond); len(orphans()) > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: it left %q", v, orphans())
				break
			}
		}
		v.ended <- err
	}()
}

// orphans lists the processes of sexton whose parent has ended and whom nobody has
// killed. One that was killed ends when it gets a processor.
func orphans() []string {
	return slices.DeleteFunc(running(sexton()), func(p string) bool {
		text, _, _ := strings.Cut(p, " ")
		pid, _ := strconv.Atoi(text)
		stat := statOf(pid)
		return stat.state == "Z" || stat.parent != 1 || dying(pid)
	})
}

// dying reports whether a process has to take a SIGKILL, or takes it.
func dying(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, ok := strings.Cut(string(text), "\nSigPnd:")
	if !ok {
		return true // it is gone
	}
	word, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
	pending, err := strconv.ParseUint(word, 16, 64)
	return err == nil && pending&(1<<(syscall.SIGKILL-1)) != 0
}

func (v *victim) wait(n *killed) {
	exit := (*exec.ExitError)(nil)
	if err := <-v.ended; errors.As(err, &exit) && !exit.Exited() {
		n.inTime++
	} else {
		n.late++
	}
}

// judge looks at the recording that the run left.
func (v *victim) judge(t *testing.T, here world, n *killed) {
	t.Helper()
	if v.file == "" {
		return
	}
	if !fileExists(v.file) {
		n.none++
		return
	}
	switch r := here.sexton(t, "scan", "--from", v.file); r.code {
	case clean:
		n.whole++
	case failed:
		n.cut++
		r.says(t, v.file+" ends early: it was not finished", "try: record again")
		if r.stdout != "" {
			t.Errorf("%s: a report from half a recording\n%s", v, r)
		}
	default:
		t.Errorf("%s: the recording is neither whole nor refused\n%s", v, r)
	}
}

// Asked to end, sexton ends at once, and takes a half recording with it.
func TestInterrupted(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	forget(t)
	here := world{docker: runtimestest.Serve(t, runtimestest.Swallow)}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "host.tar.zst")
			// The file is made when the signal is caught already; without one it would look for half a minute.
			script := fmt.Sprintf(`"$0" "$@" & until test -e %s; do sleep 0.05; done; sleep 0.3; kill -%d $!; wait $!`, file, signal)
			r := here.exec(t, append([]string{"sh", "-c", script, sexton()}, "record", "--interval=30s", file)...)
			r.noTrace(t)
			if r.exits(t, failed); fileExists(file) {
				t.Errorf("the recording is there\n%s", r)
			}
		})
	}
}
