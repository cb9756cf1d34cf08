package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// isRuntimeFault reports whether a fault of the lab is one of those with daemons.
func isRuntimeFault(name string) bool { return strings.HasPrefix(name, "runtime-") }

// What the lab says that sexton must find of its runtimes is what it finds, heal ends
// what it says that it ends, and down leaves nothing.
func TestLabRuntimes(t *testing.T) {
	needsDocker(t)
	faults := slices.DeleteFunc(labFaults(t, world{}), func(f labFault) bool { return !isRuntimeFault(f.Name) })
	if len(faults) != 5 {
		t.Fatalf("%d faults", len(faults))
	}
	var beside sync.WaitGroup // a stop counts after a minute, a runc after half of one
	defer beside.Wait()
	for _, f := range faults {
		beside.Go(func() { t.Run(f.Name, func(t *testing.T) { labRuntime(t, f) }) })
	}
}

func labRuntime(t *testing.T, f labFault) {
	h := newHost(t, slow+time.Minute)
	h.sexton(t, "lab", "up", f.Name, "--on-this-host", "--for", "5m").exits(t, clean)
	t.Cleanup(func() {
		h.sexton(t, "lab", "down").exits(t, clean)
		if left, _ := filepath.Glob("/run/sexton-lab-*/" + f.Name); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
	pid := silentOf(t, h, f.Name)
	wait := time.Now().Add(time.Minute)
	var r report
	for {
		began := time.Now()
		r = h.sexton(t, "scan", "-o", "json").exits(t, clean, findings).report(t)
		if took := time.Since(began); took > wholeScan {
			t.Errorf("the scan took %v", took)
		}
		if len(r.of("runtime-hung")) > 0 || time.Now().After(wait) {
			break
		}
		time.Sleep(time.Second)
	}
	all := r.of("runtime-hung")
	if len(all) != 1 || !strings.Contains(wantOf(t, h, f.Name), "is the first silent layer") {
		t.Fatalf("%d findings: %s", len(all), r.titles())
	}
	layer, _, _ := strings.Cut(strings.TrimPrefix(wantOf(t, h, f.Name), "runtime-hung: "), " is the first silent layer")
	if !strings.HasPrefix(all[0].Title, layer+" is the first silent layer") {
		t.Errorf("found %s, want %s", all[0].Title, layer)
	}
	t.Logf("%s\n%s", all[0].Title, drawn(all[0]))
	if f.Risk == "" {
		return
	}
	stopped := func() {}
	if strings.HasSuffix(f.Name, "-stopped") {
		stopped = h.dockerStop(t)
	}
	done := h.sexton(t, "heal", quick, "--apply", "--yes", "--max-risk", f.Risk, "--journal", filepath.Join(t.TempDir(), "journal"), "-o", "json").exits(t, clean).plan(t)
	if len(done.Steps) != 1 || done.Steps[0].Status != "done" || done.Steps[0].Target.PID != pid {
		t.Errorf("steps %+v, want one, of pid %d", done.Steps, pid)
	}
	stopped()
	if f.Name == "runtime-shim-stopped" { // the lab's own docker stop waited for it too
		hosttest.Until(t, slow, "docker stop ends, and the container with it", func() bool { return h.pid("docker") == 0 && labState(t, h, f.Name) == "healed" })
	}
	if r := h.sexton(t, "scan", quick, "-o", "json").exits(t, clean, findings).report(t); len(r.of("runtime-hung")) > 0 {
		t.Errorf("still found: %s", r.titles())
	}
}

// dockerStop has a host's dockerd stop web, which it cannot yet. The function that it
// returns fails the test unless that ends well, and the container with it.
func (h ownHost) dockerStop(t *testing.T) func() {
	t.Helper()
	argv, err := os.ReadFile(fmt.Sprintf("%s/%d/cmdline", h.proc, h.pid("dockerd")))
	_, rest, ok := strings.Cut(string(argv), "\x00-H\x00")
	at, _, _ := strings.Cut(rest, "\x00")
	if err != nil || !ok {
		t.Fatalf("dockerd's socket: %v, %q", err, argv)
	}
	docker := func(args ...string) *exec.Cmd {
		return exec.Command("timeout", append([]string{"150", "docker", "-H", at}, args...)...)
	}
	ended := make(chan string, 1)
	go func() {
		text, err := docker("stop", "-t", "1", "web").CombinedOutput()
		ended <- fmt.Sprintf("%s%v", text, err)
	}()
	return func() {
		t.Helper()
		if how := <-ended; how != "web\n<nil>" {
			t.Errorf("docker stop ends with %s", how)
		}
		if text, err := docker("inspect", "-f", "{{.State.Status}}", "web").CombinedOutput(); string(text) != "exited\n" {
			t.Errorf("web is %s, %v", text, err)
		}
	}
}

// silentOf is the process that the lab made silent; 0 where no process shows it alone.
func silentOf(t *testing.T, h ownHost, fault string) int {
	for _, p := range labItem(t, h, fault).Processes {
		if p.Role == "silent" {
			return p.PID
		}
	}
	t.Fatal("the lab does not say who is silent")
	return 0
}

func wantOf(t *testing.T, h ownHost, fault string) string {
	return strings.Join(labItem(t, h, fault).Want, "\n")
}

func labState(t *testing.T, h ownHost, fault string) string { return labItem(t, h, fault).State }

type labStatus struct {
	Name      string
	State     string
	Want      []string
	Processes []struct {
		Role string
		PID  int
	}
}

func labItem(t *testing.T, h ownHost, fault string) labStatus {
	t.Helper()
	var list struct{ Items []labStatus }
	if err := json.Unmarshal([]byte(h.sexton(t, "lab", "status", "-o", "json").exits(t, clean).stdout), &list); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.Items, func(f labStatus) bool { return f.Name == fault })
	if i < 0 {
		t.Fatalf("%s is not listed", fault)
	}
	return list.Items[i]
}
