package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// burn keeps every processor busy several times over until the test ends.
func burn(t *testing.T) {
	t.Helper()
	for range 4 * runtime.NumCPU() {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
}

// crowd starts so many containers, some at a time, and removes them some at a time.
func (h *hungHost) crowd(n int) {
	h.t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	h.t.Cleanup(func() {
		for some := range slices.Chunk(names, 10) {
			h.do(append([]string{"rm", "-f"}, some...)...)
		}
	})
	for some := range slices.Chunk(names, 4) {
		failed := make([]error, len(some))
		var all sync.WaitGroup
		for i, name := range some {
			all.Go(func() {
				text, err := h.commandFor("300", "run", "-d", "--network=none", "--name", name, image, "sleep", "1000000").CombinedOutput()
				if err != nil {
					failed[i] = fmt.Errorf("start %s: %w: %s", name, err, text)
				}
			})
		}
		all.Wait()
		if err := errors.Join(failed...); err != nil {
			h.t.Fatalf("%v\n%s", err, h.logged())
		}
	}
}

// shims counts the shims of this host, their threads, and the memory that is theirs alone or
// their part of what they share, in bytes.
func (h *hungHost) shims() (n, threads, memory int) {
	h.t.Helper()
	for _, pid := range pids() {
		dir := fmt.Sprintf("/proc/%d/", pid)
		if comm, _ := os.ReadFile(dir + "comm"); string(comm) != "containerd-shim\n" {
			continue
		}
		tasks, err := os.ReadDir(dir + "task")
		text, err2 := os.ReadFile(dir + "smaps_rollup")
		_, after, ok := strings.Cut(string(text), "\nPss:")
		var kib int
		if _, err3 := fmt.Sscan(after, &kib); err != nil || err2 != nil || !ok || err3 != nil {
			h.t.Fatalf("shim %d: %v", pid, errors.Join(err, err2, err3))
		}
		n, threads, memory = n+1, threads+len(tasks), memory+kib<<10
	}
	return n, threads, memory
}

// A host that is healthy and slow gives no finding: all processors are taken four
// times over, many execs come at once, and there are many containers.
func TestRuntimeHealthyUnderLoad(t *testing.T) {
	n, r := hosttest.Trials(t, 2, 200)
	h := startHungHost(t)
	containers, execs := 6, 20
	if os.Getenv("SEXTON_VERIFY") == "full" {
		containers, execs = 500, 60
	}
	containers = int(hosttest.Number(t, "SEXTON_CONTAINERS", uint64(containers)))
	began := time.Now()
	h.crowd(containers)
	shims, threads, memory := h.shims()
	t.Logf("%d containers started in %v: %d shims with %d threads have %d MB, %d KB each", containers, time.Since(began).Round(time.Second), shims, threads, memory>>20, memory/shims>>10)
	burn(t)
	var alarms, blind, storms, failed int
	var longest time.Duration
	h.here.patience = 3 * time.Minute
	for i := range n {
		var storm []chan error
		if r.IntN(2) == 0 || i == 0 {
			storms++
			for range execs {
				storm = append(storm, h.pending("exec", fmt.Sprintf("c%d", r.IntN(containers)), "true"))
			}
		}
		interval := fmt.Sprintf("--interval=%dms", 200+r.IntN(2000))
		args := []string{"scan", interval, "--timeout=2m", "-o", "json"}
		if i%10 > 0 { // quicker, so that the looks are closer and more of them fall into a storm
			args = append(args, "--check=runtime-hung")
		}
		ran := h.here.sexton(t, args...).exits(t, clean, findings, cantTell) // starved, another check may get no answer in time
		longest = max(longest, ran.took)
		report := ran.report(t)
		for _, f := range report.of("runtime-hung") {
			alarms++
			t.Errorf("trial %d, %q, %d execs: %s\n%s", i, args, len(storm), f.Title, drawn(f))
		}
		if why := report.unknown("docker at "); why != "" {
			blind++
			t.Logf("trial %d, %q, %d execs: docker: %.120s", i, args, len(storm), why)
		}
		for _, done := range storm {
			if err := <-done; err != nil {
				failed++
			}
		}
		if (i+1)%10 == 0 {
			t.Logf("%d scans, %d false alarms, %v", i+1, alarms, time.Since(began).Round(time.Second))
		}
	}
	if left, _, _ := h.shims(); left != containers {
		t.Errorf("%d shims at the end, %d containers", left, containers)
	}
	t.Logf("%d healthy scans of %d containers under load, %d of them in storms of %d execs, of which %d failed; %d false alarms, %d scans had no answer from docker in time, the longest took %v",
		n, containers, storms, execs, failed, alarms, blind, longest.Round(10*time.Millisecond))
}
