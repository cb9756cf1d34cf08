package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
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

// A host that is healthy and slow gives no finding: all processors are taken four
// times over, many execs come at once, and there are many containers.
func TestRuntimeHealthyUnderLoad(t *testing.T) {
	n, r := hosttest.Trials(t, 2, 200)
	h := startHungHost(t)
	h.here.patience = time.Minute
	containers, execs := 6, 20
	if os.Getenv("SEXTON_VERIFY") == "full" {
		containers, execs = 60, 60
	}
	for i := range containers {
		h.run(fmt.Sprintf("c%d", i), nil, "sleep", "10000")
	}
	burn(t)
	alarms, longest := 0, time.Duration(0)
	for i := range n {
		var storm []chan error
		if r.IntN(2) == 0 || i == 0 {
			for range execs {
				storm = append(storm, h.pending("exec", fmt.Sprintf("c%d", r.IntN(containers)), "true"))
			}
		}
		interval := fmt.Sprintf("--interval=%dms", 200+r.IntN(2000))
		ran := h.here.sexton(t, "scan", interval, "-o", "json").exits(t, clean, findings)
		longest = max(longest, ran.took)
		for _, f := range ran.report(t).of("runtime-hung") {
			alarms++
			t.Errorf("trial %d, %s, %d execs: %s\n%s", i, interval, len(storm), f.Title, drawn(f))
		}
		for _, done := range storm {
			<-done
		}
		if (i+1)%20 == 0 {
			t.Logf("%d scans, %d false alarms", i+1, alarms)
		}
	}
	t.Logf("%d healthy scans of %d containers under load, %d false alarms, the longest took %v", n, containers, alarms, longest.Round(10*time.Millisecond))
}
