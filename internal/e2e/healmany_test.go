package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// shm is where docker mounts the shared memory of a container.
const shm = "containers/4e09fa6803feab9d96fe72a44fb83d757c1788812ff60071ac2e62a5cf14cd97/mounts/shm"

// One leak that is in many namespaces is unmounted in each, and each time looked for
// who would miss it, without a whole look before each.
func TestHealMany(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	const spaces = 40
	at := filepath.Join(t.TempDir(), shm)
	h.start(t, fmt.Sprintf(`mkdir -p %[1]s; mount -t tmpfs shm %[1]s
		for n in $(seq %[2]d); do unshare -m --propagation private bash -c 'as keeper' & done
		until [ $(grep -lx keeper /proc/[0-9]*/comm 2>/dev/null | wc -l) = %[2]d ]; do sleep 0.02; done
		umount %[1]s; as owner`, at, spaces), "owner")
	begun := time.Now()
	p := h.sexton(t, "heal", "--apply", "--yes", "--journal", filepath.Join(t.TempDir(), "j"), "-o", "json").exits(t, clean).plan(t)
	took := time.Since(begun)
	if n := len(p.with("unmount-in-namespace")); n != spaces || len(p.is("done")) != n {
		t.Errorf("%d of %d steps done\n%s", len(p.is("done")), n, p.run)
	}
	for _, s := range p.with("unmount-in-namespace") {
		if len(s.Target.Mounts) != 1 || s.Target.Mounts[0] != s.Target.Mount {
			t.Errorf("mount %d: %d go", s.Target.Mount, s.Target.Mounts)
		}
	}
	t.Logf("%d namespaces in %.1f s", spaces, took.Seconds())
	if most := 36 * time.Second; took > most { // a whole look before each, two seconds long, takes over 80
		t.Errorf("it took %v", took)
	}
	remains(t, h, labFault{})
	hosttest.Until(t, soon, "the keepers live", func() bool { return h.pid("keeper") != 0 })
}

// Nobody reads what a heal says, as when a pager was left: it goes on to its end.
func TestHealUnread(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	h.sexton(t, "lab", "up", "mount-private-root", "mount-thread", "--on-this-host", "--for", "3m").exits(t, clean)
	t.Cleanup(func() { h.sexton(t, "lab", "down") })
	journal := filepath.Join(t.TempDir(), "j")
	r := h.exec(t, "bash", "-c", fmt.Sprintf("%s heal %s --apply --yes --nested --journal %s 2>&1 | true; echo ${PIPESTATUS[0]}", sexton(), quick, journal))
	if r.stdout != "1\n" { // what it did could not be printed
		t.Errorf("%s", r)
	}
	shown := h.sexton(t, "journal", "--journal", journal).exits(t, clean)
	text := oneLine(shown.stdout)
	if n := strings.Count(text, "Z begin unmount-in-namespace "); n != 2 || strings.Count(text, "Z done unmount-in-namespace ") != n {
		t.Errorf("%s", shown)
	}
}

// A mount point is named by bytes. They go from the plan to a file, from there to the
// act and to the journal as they are, and to no terminal.
func TestHealBytes(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	at := filepath.Join(t.TempDir(), "\xff\n\x1b[31m'", shm)
	h.start(t, fmt.Sprintf(`at=$(printf '%%b_' '%s'); at=${at%%_}; mkdir -p "$at"; mount -t tmpfs shm "$at"
		unshare -m --propagation private bash -c 'as keeper' & until grep -q keeper /proc/[0-9]*/comm; do sleep 0.02; done
		umount "$at"; as owner`, octal(at)), "owner")
	file, journal := filepath.Join(t.TempDir(), "plan"), filepath.Join(t.TempDir(), "j")
	planned := h.sexton(t, "heal", "--interval=0", "-o", "json").exits(t, clean)
	if err := os.WriteFile(file, []byte(planned.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := planned.plan(t).with("unmount-in-namespace")
	if len(steps) != 1 || string(steps[0].Target.PathBytes) != at {
		t.Fatalf("%q is not named\n%s", at, planned)
	}
	r := h.sexton(t, "heal", "--interval=0", "--apply", "--yes", "--plan", file, "--journal", journal).exits(t, clean)
	r.says(t, "done: looked again: gone")
	shown := h.sexton(t, "journal", "--journal", journal).exits(t, clean)
	if strings.Contains(r.stdout+r.stderr+shown.stdout, "\x1b[31m") || strings.Contains(shown.stdout, "\xff") {
		t.Errorf("raw bytes\n%s\n%s", r, shown)
	}
	var entries struct{ Items []struct{ Step step } }
	text := h.sexton(t, "journal", "--journal", journal, "-o", "json").exits(t, clean).stdout
	if err := json.Unmarshal([]byte(text), &entries); err != nil || len(entries.Items) < 2 || string(entries.Items[0].Step.Target.PathBytes) != at {
		t.Errorf("%v: the journal has another path: %s", err, text)
	}
}

// What is only in memory goes with its last mount. Where it is no container's that has
// ended, as what somebody mounted where volumes are, that takes the highest risk.
func TestHealPerishing(t *testing.T) {
	sandboxed(t)
	h := newHost(t, slow)
	at := filepath.Join(t.TempDir(), "kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount")
	h.start(t, fmt.Sprintf("mkdir -p %[1]s; unshare -m --propagation private bash -ec 'mount -t tmpfs volume %[1]s; echo precious >%[1]s/file; as owner'", at), "owner")
	before, journal := h.state(t), filepath.Join(t.TempDir(), "j")
	for _, risk := range []string{"safe", "disruptive"} {
		p := h.sexton(t, "heal", "--interval=0", "--apply", "--yes", "--max-risk", risk, "--journal", journal, "-o", "json").exits(t, unhealed).plan(t)
		refusedBecause(t, p, "unmount-in-namespace", "its risk is destructive; --max-risk destructive allows it")
		same(t, "refused", before, h.state(t), false, nil)
	}
	h.sexton(t, "heal", "--interval=0").exits(t, clean).says(t, "only in memory (tmpfs), and is lost with its last mount")
	p := h.sexton(t, "heal", "--interval=0", "--apply", "--yes", "--max-risk", "destructive", "--journal", journal, "-o", "json").exits(t, clean).plan(t)
	if done := p.is("done"); len(done) != 1 || done[0].Action != "unmount-in-namespace" {
		t.Error(p.run)
	}
}

// octal writes a text as printf %b reads it.
func octal(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\0%03o`, c)
	}
	return b.String()
}
