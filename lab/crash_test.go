package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// upProcess is an up in a process of its own, not started yet.
func upProcess(f Fault, o Options) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", upCommand, f.Name, o.StateDir, o.For.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// crashes is how many ups of each fault are killed; their moments are spread
// over an up's whole length, which is measured first.
const crashes = 16

// TestUpCrashes kills up at random moments. Whatever it had started is then in
// the state file or ends by itself: after down nothing is left.
func TestUpCrashes(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		whole := upOnce(t, f, o)
		random := rand.New(rand.NewPCG(7, 7))
		stages := map[string]int{}
		for i := range crashes {
			moment := time.Duration((float64(i) + random.Float64()) / crashes * float64(whole))
			killUpAfter(t, f, o, moment)
			st := one(t, f.Name, o)
			stages[fmt.Sprintf("%s with %d processes", st.State, len(st.Processes))]++
			if all, err := Down(context.Background(), nil, o); err != nil {
				t.Fatalf("killed after %v: down: %+v, %v", moment, all, err)
			}
			// One that was not in the file yet sees its pipe close and ends; give it the time to.
			hosttest.Until(t, 20*time.Second, fmt.Sprintf("nothing lives (killed after %v)", moment), func() bool { return len(descendants(t)) == 0 })
			if left, _ := os.ReadDir(o.StateDir); len(left) > 0 {
				t.Fatalf("killed after %v: left in the state directory: %v", moment, left)
			}
			nothingLeft(t)
		}
		t.Logf("%d ups of %v killed; list said then: %v", crashes, whole, stages)
	})
}

// upOnce measures how long an up in its own process takes.
func upOnce(t *testing.T, f Fault, o Options) time.Duration {
	t.Helper()
	began := time.Now()
	if out, err := upProcess(f, o).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	took := time.Since(began)
	if _, err := Down(context.Background(), nil, o); err != nil {
		t.Fatal(err)
	}
	return took
}

func killUpAfter(t *testing.T, f Fault, o Options, moment time.Duration) {
	t.Helper()
	up := upProcess(f, o)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(moment) // the moment is the test's input
	up.Process.Kill()
	up.Wait()
}

// ownGroup makes a control group for a test.
func ownGroup(t *testing.T, controller string) string {
	t.Helper()
	h, err := hierarchyOf(controller)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(h.base, "sexton-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeGroups([]string{dir}); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestUntold: a process that is not told to go on ends, at every step where up
// may be gone.
func TestUntold(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		here, err := os.Readlink("/proc/self/ns/mnt")
		if err != nil {
			t.Fatal(err)
		}
		role, step, args := "zombies-init", "children", []string{"/bin/sleep"}
		switch f.Name {
		case stuckName, fuseDead.Name:
			role, step, args = "stuck-init", "stuck", []string{f.Name, t.TempDir(), here}
		case frozen.Name:
			role, step, args = "frozen-init", "frozen", []string{ownGroup(t, "freezer")}
		case oomInit.Name:
			role, step, args = "fifo-init", "created", []string{t.TempDir(), here}
		}
		if mountScenes[f.Name] != nil {
			role, step, args = "mount-init", "kept", []string{f.Name, t.TempDir(), here}
		}
		attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
		for orders := range 2 {
			p, err := launch(t.Context(), f.Name, role, time.Now().Add(time.Minute), attr, args...)
			if err != nil {
				t.Fatal(err)
			}
			if orders > 0 {
				if err := errors.Join(p.order(), p.heard(t.Context(), step)); err != nil {
					t.Error(err)
				}
			}
			p.letGo()
			hosttest.Until(t, 20*time.Second, fmt.Sprintf("nothing lives after %d orders", orders), func() bool { return len(descendants(t)) == 0 })
		}
	})
}

// TestUpCrashesAndNobodyCleans: what a killed up leaves ends in its time, but for empty
// control groups and the state file, which down removes.
func TestUpCrashesAndNobodyCleans(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		whole := upOnce(t, f, o)
		for _, part := range []float64{0.5, 0.8, 0.9} {
			o := o
			o.For, o.StateDir = 2*time.Second, fmt.Sprintf("%s-%v", o.StateDir, part)
			killUpAfter(t, f, o, time.Duration(part*float64(whole)))
			t.Cleanup(func() {
				if _, err := Down(context.Background(), nil, o); err != nil {
					t.Error(err)
				}
			})
		}
		// A feeder that ends in time waits for the session that it just runs.
		hosttest.Until(t, 20*time.Second, "nothing lives", func() bool { return len(descendants(t)) == 0 })
	})
}

// TestFirstProcessKilled: the death of init is the end of all.
func TestFirstProcessKilled(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		st := mustUp(t, f.Name, o)
		if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if f.Name == frozen.Name { // in version 1 what is frozen does not end: down thaws it
			if _, err := Down(context.Background(), nil, o); err != nil {
				t.Error(err)
			}
			hosttest.Until(t, 20*time.Second, "nothing lives", func() bool { return len(descendants(t)) == 0 })
			return
		}
		hosttest.Until(t, 20*time.Second, "nothing lives", func() bool { return len(descendants(t)) == 0 })
		wantState(t, f.Name, o, StateEnded)
		if _, err := Down(context.Background(), nil, o); err != nil {
			t.Error(err)
		}
		wantState(t, f.Name, o, StateDown)
	})
}

// TestTerminated: an init of ours ends as it is asked to, as at shutdown.
func TestTerminated(t *testing.T) {
	o := options(t, stuckReader)
	if err := syscall.Kill(mustUp(t, "stuck-reader", o).PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, 20*time.Second, "nothing lives", func() bool { return len(descendants(t)) == 0 })
}

// TestHangup: the end of the terminal is not the end of the fault.
func TestHangup(t *testing.T) {
	eachKind(t, func(t *testing.T, f Fault, o Options) {
		st := mustUp(t, f.Name, o)
		for _, p := range st.Processes {
			if p.Role == roleInit || p.Role == roleFeeder {
				if err := syscall.Kill(p.PID, syscall.SIGHUP); err != nil {
					t.Error(err)
				}
			}
		}
		// SIGHUP was delivered when the sender returned; a process that dies of it is on its way.
		end := time.Now().Add(300 * time.Millisecond)
		for time.Now().Before(end) {
			if got := one(t, f.Name, o); got.State != StateUp || got.Why != "" {
				t.Fatalf("list says %+v", got)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// TestFeederKilled: no more arrive, the rest stays, and down still cleans.
func TestFeederKilled(t *testing.T) {
	o := options(t, zombies)
	st := mustUp(t, "zombies", o)
	if err := syscall.Kill(pidOf(t, st, roleFeeder), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hosttest.Until(t, 20*time.Second, "the feeder is gone", func() bool { return strings.Contains(one(t, "zombies", o).Why, "feeder") })
	wantState(t, "zombies", o, StateUp)
}

// TestFeederWithChild: a namespace cannot end while a dead child of an outsider
// in it is not waited for. Down lets a feeder finish, stopped or not; where one
// was killed and nobody waits for what it left, down says who does not.
func TestFeederWithChild(t *testing.T) {
	hosttest.NeedsRoot(t)
	stopped := func(t *testing.T, o Options) int {
		feeder := pidOf(t, mustUp(t, "zombies", o), roleFeeder)
		file := procPath(feeder, fmt.Sprintf("task/%d/children", feeder))
		_, err := os.Stat(file)
		hosttest.Needs(t, "children", err == nil, "use a kernel with CONFIG_PROC_CHILDREN")
		has := func() bool { text, _ := os.ReadFile(file); return len(text) > 0 }
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); { // no pause: the child lives for 10 ms every 2 s
			if !has() {
				continue
			}
			if syscall.Kill(feeder, syscall.SIGSTOP); has() {
				return feeder
			}
			syscall.Kill(feeder, syscall.SIGCONT)
		}
		t.Fatal("the feeder was never seen with a child")
		return 0
	}
	t.Run("stopped", func(t *testing.T) {
		o := options(t, zombies)
		o.For = 2 * time.Minute
		stopped(t, o)
		if all, err := Down(context.Background(), nil, o); err != nil {
			t.Errorf("down: %+v, %v", all, err)
		}
		nothingLeft(t)
	})
	t.Run("killed", func(t *testing.T) {
		o := options(t, zombies)
		o.For = 2 * time.Minute
		settleFor(t, time.Second)
		if err := syscall.Kill(stopped(t, o), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_, err := Down(context.Background(), nil, o) // this process is the child's parent now, and does not wait
		want := fmt.Sprintf("state Z, parent %d)", os.Getpid())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("down: %v, want %s in it", err, want)
		}
		hosttest.Until(t, 20*time.Second, "nothing lives once we wait", func() bool { return len(descendants(t)) == 0 })
	})
}
