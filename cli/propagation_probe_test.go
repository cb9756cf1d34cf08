package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
	"sexton.dev/propagation/verdict"
)

// userCopy starts a process in a mount namespace with a tmpfs on DIR/p and another
// on DIR/p/s, and one in a copy of that in a user namespace of its own, which has
// one more on DIR/own. It returns the second one's pid.
func userCopy(t *testing.T, dir string) int {
	t.Helper()
	hosttest.NeedsRoot(t)
	const script = `cd "$0"; mount -t tmpfs x .; mount --make-shared .; cd "$0"
mkdir p own; mount -t tmpfs p p; mkdir p/s; mount -t tmpfs s p/s
exec 3>"$1"; exec unshare -Urm --propagation shared sh -ec 'mount -t tmpfs own own; echo $$ >&3; exec 3>&-; exec sleep 1000' & wait`
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, dir, ready)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	pid := 0
	hosttest.Until(t, 20*time.Second, "the copy in a user namespace is there", func() bool {
		text, err := os.ReadFile(ready)
		if err == nil {
			fmt.Sscan(string(text), &pid)
		}
		return pid != 0
	})
	return pid
}

// Without the flags the answer is likely, with them it is what the kernel says; and
// nothing is mounted or unmounted by them.
func TestPropagationProbes(t *testing.T) {
	dir := t.TempDir()
	pid := userCopy(t, dir)
	tables := func() string {
		theirs, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		ours, err2 := os.ReadFile("/proc/self/mountinfo")
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		return string(theirs) + string(ours)
	}
	before := tables()
	for _, tt := range []struct {
		target, flags string
		locked, by    string
		why           string // part of one verdict's reason; "" if there is none
	}{
		{"p/s", "", "likely", "release", "(EINVAL): it is likely locked"},
		{"p/s", "--probe-locks", "yes", "release", "(EINVAL): it is locked"},
		{"p", "--detach --probe-locks --self-test", "yes", "self-test", "(EINVAL): it is locked"},
		{"own", "--probe-locks --kernel=before-6.17", "no", "flag", ""},
	} {
		args := append([]string{"propagation", filepath.Join(dir, tt.target), "-o", "json"}, strings.Fields(tt.flags)...)
		out, complaint, code := run(t, "", args...)
		var got propagationReport
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Fatalf("%q: exit code %d: %v: %s", args, code, err, complaint)
		}
		found := false
		for _, n := range got.Namespaces {
			if n.Locked != "" {
				found = n.Locked == tt.locked
			}
		}
		if !found || got.Rule.By != tt.by {
			t.Errorf("%q: %+v, rule %+v, want locked %s by %s; unknown %q", args[1:], got.Namespaces, got.Rule, tt.locked, tt.by, got.Unknown)
		}
		if !slices.ContainsFunc(got.Verdicts, func(v verdict.Pair) bool { return strings.Contains(v.Why, tt.why) }) && tt.why != "" {
			t.Errorf("%q: no verdict for %q: %+v", args[1:], tt.why, got.Verdicts)
		}
	}
	if after := tables(); after != before {
		t.Errorf("the tables changed from\n%s\nto\n%s", before, after)
	}
	out, complaint, code := run(t, "", "propagation", "--self-test")
	if code != 0 || !strings.Contains(out, "found by trying") {
		t.Errorf("--self-test alone: exit code %d: %s%s", code, out, complaint)
	}
	out, _, _ = run(t, "", "propagation", filepath.Join(dir, "p/s"))
	if !strings.Contains(out, ", likely locked\n") || !strings.Contains(out, "--probe-locks asks the kernel") {
		t.Errorf("for people: %s", out)
	}
}

// What cannot be asked is refused, with what to do instead.
func TestProbeRefusals(t *testing.T) {
	defer func() { geteuid = os.Geteuid }()
	for _, tt := range []struct {
		args string
		uid  int
		code int
		want []string
	}{
		{"/x --probe-locks --from host.tar.zst", 0, Usage, []string{"--from is a recording", "try: --probe-locks on the host itself"}},
		{"/x --self-test --from host.tar.zst", 0, Usage, []string{"--from is a recording", "try: --self-test on the host itself"}},
		{"/x --probe-locks --mountinfo a=-", 0, Usage, []string{"--mountinfo is an excerpt"}},
		{"/x --self-test --mountinfo a=-", 0, Usage, []string{"--mountinfo is an excerpt"}},
		{"/x --self-test --kernel 6.17", 0, Usage, []string{"exclude each other"}},
		{"/x --probe-locks", 1000, Failed, []string{"--probe-locks needs root", "try: run it as root"}},
		{"--self-test", 1000, Failed, []string{"--self-test needs root", "try: run it as root"}},
		{"--probe-locks", 0, Usage, []string{"wants one TARGET"}},
	} {
		geteuid = func() int { return tt.uid }
		out, complaint, code := run(t, chainHost, append([]string{"propagation"}, strings.Fields(tt.args)...)...)
		if code != tt.code || out != "" {
			t.Errorf("%s: exit code %d: %s", tt.args, code, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(complaint, want) {
				t.Errorf("%s: no %q in %s", tt.args, want, complaint)
			}
		}
	}
}
