package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/runtimes/runtimestest"
)

// inMounts runs a shell script in a mount namespace of its own; "$0" is sexton,
// "$1" an empty directory.
func (w world) inMounts(t *testing.T, script string) run {
	t.Helper()
	r := w.exec(t, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script, sexton(), t.TempDir())
	r.noTrace(t)
	return r
}

// A disk without room is said, at once or when it is reached, and no half file is left.
func TestDiskFull(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	program(t, "hold", "400") // something to record
	for _, command := range []string{"record", "scan --record"} {
		for _, size := range []string{"0", "4k", "8k"} { // room for the recording
			t.Run(command+" "+size, func(t *testing.T) {
				script := fmt.Sprintf(`mount -t tmpfs -o size=32k none "$1"
					dd if=/dev/zero of="$1/other" bs=1k count=32 status=none; truncate -s -%s "$1/other"
					code=0; "$0" %s "$1/host.tar.zst" --interval=300ms -o json >&2 || code=$?
					ls -A "$1"; exit $code`, size, command)
				r := world{}.inMounts(t, script).exits(t, failed).says(t, "no space left on device")
				if left := strings.TrimSpace(r.stdout); left != "other" {
					t.Errorf("left on the full disk: %q\n%s", left, r)
				}
			})
		}
	}
}

// Where nothing can be written, looking works and recording says why not.
func TestReadOnly(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	const closed = `mount -o remount,bind,ro /; mount -o remount,bind,ro /run; `
	world{}.inMounts(t, closed+`exec "$0" scan --nested --interval=300ms`).exits(t, clean).says(t, "Nothing is wrong: ")
	world{}.inMounts(t, closed+`exec "$0" record /host.tar.zst`).exits(t, failed).says(t, "create recording: open /host.tar.zst: read-only file system")
	world{}.inMounts(t, closed+`exec "$0" scan --record /run/host.tar.zst -o json`).exits(t, failed).says(t, "read-only file system")
}

// Output that cannot be written is an error, whatever was found.
func TestOutputFull(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	pid := program(t, "leave", "3", "default")
	hosttest.Until(t, soon, "3 zombies", func() bool { return len(zombies(pid)) == 3 })
	file := filepath.Join(t.TempDir(), "host.tar.zst")
	for _, args := range []string{
		"scan --interval=300ms", "scan --interval=300ms -o json", "scan --interval=300ms -o yaml", "scan --interval=300ms -o jsonl",
		fmt.Sprintf("why --interval=300ms %d", pid), "ps", "ps -o json", "checks", "checks unreaped-children", "version", "lab list", "record --interval=0 " + file,
	} {
		t.Run(args, func(t *testing.T) {
			r := world{}.exec(t, "sh", "-c", `exec "$0" `+args+` >/dev/full`, sexton())
			r.noTrace(t)
			r.exits(t, failed).says(t, "no space left on device")
		})
	}
}

// In a control group that is short of memory sexton reports, says what failed,
// or is killed by the kernel; it does not fall over.
func TestMemoryLimit(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	forget(t)
	program(t, "hold", "400") // something to read
	here := world{docker: runtimestest.Serve(t, runtimestest.Swallow), patience: 20 * time.Second}
	for _, mib := range []int{20, 12, 8, 6, 4, 2} {
		group := limited(t, "memory", fmt.Sprintf("memory%d", mib), fmt.Sprint(mib<<20), "memory.max", "memory.limit_in_bytes")
		r := here.within(t, group, "scan", "--nested", "--interval=300ms", "--ask-again", "-o", "json")
		switch r.code {
		case clean, findings, cantTell:
			r.report(t)
		case failed:
			r.says(t, "sexton scan: ")
		default:
			r.exits(t, 128+9)
		}
		t.Logf("%d MiB: exit %d after %v", mib, r.code, r.took.Round(time.Millisecond))
	}
}

// In a control group that is short of tasks sexton reports, or says that it
// cannot start; Go's runtime would fall over when it wants a thread.
func TestTaskLimit(t *testing.T) {
	sandboxed(t)
	_, err := exec.LookPath("make")
	hosttest.Needs(t, "make", err == nil, "make is missing, which knows where sexton begins")
	leavesNothing(t)
	forget(t)
	here := world{docker: runtimestest.Serve(t, runtimestest.Swallow)}
	seen := map[int]int{}
	for tasks := 1; tasks <= 64; tasks = tasks*5/4 + 1 {
		group := limited(t, "pids", fmt.Sprintf("tasks%d", tasks), fmt.Sprint(tasks), "pids.max")
		r := here.within(t, group, "scan", "--nested", "--interval=0", "--ask-again", "-o", "json", "--check=pid-budget")
		switch seen[r.code]++; r.code {
		case clean, findings:
			r.report(t)
		case cantTell:
			r.says(t, "sexton: cannot start: no room for its threads: pids.max", "try: ")
		default:
			t.Errorf("%d tasks: %s", tasks, r)
		}
	}
	if t.Logf("how often each exit code came: %v", seen); seen[clean]+seen[findings] == 0 {
		t.Error("it never started")
	}
}

// within runs sexton in a cgroup.
func (w world) within(t *testing.T, group string, args ...string) run {
	t.Helper()
	enter := []string{"sh", "-ec", `echo $$ >"$0/cgroup.procs"; exec "$@"`, group, sexton()}
	r := w.exec(t, append(enter, args...)...)
	r.noTrace(t)
	return r
}

// limited makes a cgroup and writes a limit into the first of these files that
// it has. It is removed at the end of the test.
func limited(t *testing.T, which, name, limit string, files ...string) string {
	t.Helper()
	group := filepath.Join(controller(which), filepath.Base(work), name)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hosttest.Until(t, soon, "the cgroup is empty", func() bool { return os.Remove(group) == nil })
	})
	for _, file := range files {
		if fileExists(filepath.Join(group, file)) {
			if err := os.WriteFile(filepath.Join(group, file), []byte(limit), 0); err != nil {
				t.Fatal(err)
			}
			return group
		}
	}
	hosttest.Needs(t, "cgroup-"+which, false, "mount the "+which+" controller at /sys/fs/cgroup and enable it")
	return ""
}
