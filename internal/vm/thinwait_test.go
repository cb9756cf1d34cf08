//go:build vm

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const fullPool = "thin-pool-space/sexton-lab-wait-pool"

// waiting brings the fault up on a kernel that lets writes wait for so many seconds.
func waiting(t *testing.T, seconds string) {
	t.Helper()
	noSpaceTimeout := func(seconds string) {
		if err := os.WriteFile("/sys/module/dm_thin_pool/parameters/no_space_timeout", []byte(seconds), 0); err != nil {
			t.Fatal(err)
		}
	}
	noSpaceTimeout(seconds)
	t.Cleanup(func() { noSpaceTimeout("60") })
	up(t, "thin-pool-wait")
}

// waits scans for full pools, and for who cannot run.
func waits(t *testing.T, flags ...string) storageReport {
	t.Helper()
	return storage(t, append([]string{"--interval=500ms", "--timeout", "60s", "--check", "hung-task"}, flags...)...)
}

// A writer that waits for room is found with its container, the pool's mode and how
// long it will wait. Down gives the pool room by deleting a device of it, as the advice
// says: it would fail if the writer did not go on then.
func TestThinWaits(t *testing.T) {
	waiting(t, "600")
	recording := filepath.Join(t.TempDir(), "recording.tar.zst")
	got := waits(t, "--record", recording)
	f, hung := got.one(t, fullPool), got.one(t, "hung-task")
	f.says(t, "critical", "in container "+idOf("thin-pool-wait", "first")[:12]+" waits for room", "queue_if_no_space", "state D in both looks", "it uses sexton-lab-wait-thin",
		"no_space_timeout: 600", "(queue IO) mode", "dmsetup message sexton-lab-wait-pool 0 'delete ID'")
	if !strings.Contains(f.Harm, "in 9 min") || !strings.Contains(f.Harm, "no_space_timeout (10 min) has them fail") {
		t.Errorf("until when is not told: %s", f.Harm)
	}
	if len(f.Holders) != 1 || f.Holders[0].Comm != "sexton-lab:unit" || len(f.Remedies) != 0 {
		t.Errorf("%+v, %+v", f.Holders, f.Remedies)
	}
	t.Logf("%s. %s. %s", f.Title, f.Cause, f.Harm)
	hung.says(t, "warning", "sexton-lab:unit", "It waits for room in thin pool sexton-lab-wait-pool", "why "+fullPool)
	if again := waits(t, "--from", recording); !reflect.DeepEqual(again, got) {
		t.Errorf("the recording says %+v, the host %+v", again, got)
	}
	pid := fmt.Sprint(f.Holders[0].PID)
	if r := sexton(t, "why", pid, "--interval=500ms", "--timeout", "60s"); !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), "has them fail") {
		t.Error(r)
	}
}

// What waited has failed when no_space_timeout is over, and the pool lets nothing wait.
func TestThinTimesOut(t *testing.T) {
	waiting(t, "10")
	var f storageFinding
	until(t, "no_space_timeout is over", func() bool { // a look reads the log a moment before the pools
		f = waits(t).one(t, fullPool)
		return slices.ContainsFunc(f.Evidence, func(e struct{ Source, Text string }) bool { return strings.Contains(e.Text, "(error IO) mode") })
	})
	f.says(t, "critical", "is full", "until no_space_timeout was over", "error_if_no_space")
	if len(f.Holders) != 0 {
		t.Errorf("%+v", f.Holders)
	}
}
