package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// treat heals the whole host, up to a risk.
func (w world) treat(t *testing.T, risk string, code int, more ...string) healPlan {
	t.Helper()
	w.patience = max(w.patience, time.Minute)
	journal := filepath.Join(t.TempDir(), "journal")
	args := append([]string{"heal", "--apply", "--yes", "--interval=300ms", "--max-risk", risk, "--journal", journal, "-o", "json"}, more...)
	out := w.sexton(t, args...).exits(t, code).plan(t)
	out.journal = journal
	return out
}

// with returns the steps of an action.
func (p healPlan) with(action string) []step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s step) bool { return s.Action != action })
}

// only returns the one step of an action, which must have ended like this.
func (p healPlan) only(t *testing.T, action, status string) step {
	t.Helper()
	all := p.with(action)
	if len(all) != 1 || all[0].Status != status {
		t.Fatalf("want one step %s, %s; all: %+v", action, status, p.Steps)
	}
	return all[0]
}

// acted returns how long an act took from its beginning to the last thing that it
// wrote down, and to the look that proved it.
func (p healPlan) acted(t *testing.T, pid int) (act, proved time.Duration) {
	t.Helper()
	text, err := os.ReadFile(p.journal)
	if err != nil {
		t.Fatal(err)
	}
	var began, last, ended time.Time
	for line := range strings.Lines(string(text)) {
		var e struct {
			Time  time.Time
			Event string
			Step  step
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Step.Target.PID != pid {
			continue
		}
		switch e.Event {
		case "begin":
			began = e.Time
		case "note":
			last = e.Time
		case "end":
			ended = e.Time
		}
	}
	if began.IsZero() || last.IsZero() || ended.IsZero() {
		t.Fatalf("the journal has no whole act on pid %d:\n%s", pid, head(string(text)))
	}
	return last.Sub(began), ended.Sub(began)
}

// life is what must not change of a container that is left alone.
func (c *container) life() string {
	c.d.t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.pid))
	if err != nil {
		c.d.t.Error(err)
	}
	return c.inspect("{{.State.Status}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}") + "\n" + string(table)
}

// livesOn returns a function that fails the test unless these live as they do now.
func livesOn(t *testing.T, all ...*container) func() {
	t.Helper()
	before := map[*container]string{}
	for _, c := range all {
		before[c] = c.life()
	}
	return func() {
		t.Helper()
		for c, was := range before {
			if is := c.life(); is != was {
				t.Errorf("%s lived as %s\nand now %s", c.name, was, is)
			}
		}
	}
}

// Thousands of orphans of docker exec are reaped for programs that serve on and
// notice nothing, and not one status of their own children is lost.
func TestHealDockerZombies(t *testing.T) {
	d := startDocker(t)
	w := world{docker: d.socket}
	server := d.run("server", nil, "/e2e/children", "serve").ready()
	parent := d.run("parent", nil, "/e2e/children", "own").ready()
	for range 4 {
		d.do("exec", server.id, "/e2e/children", "orphan", "500")
	}
	d.do("exec", parent.id, "/e2e/children", "orphan", "200")
	const own = 16 // that parent leaves dead, as long as it likes
	hosttest.Until(t, soon, "they are all dead", func() bool { return len(zombies(server.pid)) == 2000 && len(zombies(parent.pid)) >= 200+own })
	same := livesOn(t, server, parent)

	done := w.treat(t, "disruptive", clean)
	for _, c := range []*container{server, parent} {
		act, proved := done.acted(t, c.pid)
		t.Logf("%s: %d dead children reaped in %v; looked again after %v", c.name, len(zombiesOf(done, c.pid)), act.Round(time.Millisecond), proved.Round(time.Millisecond))
	}
	if reaped := done.with("reap-by-ptrace"); len(reaped) != 2 || len(zombiesOf(done, server.pid)) != 2000 || len(zombiesOf(done, parent.pid)) != 200 {
		t.Errorf("%d steps: %d of server, %d of parent", len(reaped), len(zombiesOf(done, server.pid)), len(zombiesOf(done, parent.pid)))
	}
	if left := zombies(server.pid); len(left) > 0 {
		t.Errorf("%d are left", len(left))
	}
	if left := zombies(parent.pid); len(left) > own {
		t.Errorf("%d are left, of which %d are its own", len(left), own)
	}
	same()
	for c, verb := range map[*container]string{server: "served", parent: "waited"} {
		d.do("stop", "-t", "10", c.id)
		said := strings.Fields(d.do("logs", c.id))
		if len(said) != 3 || said[1] != verb || len(said[2]) < 2 {
			t.Errorf("%s says %q", c.name, said)
		}
		if code := c.inspect("{{.State.ExitCode}}"); code != "0" {
			t.Errorf("%s ended with %s", c.name, code)
		}
	}
}

// zombiesOf are the dead children that were reaped for a parent.
func zombiesOf(tr healPlan, parent int) (out []int) {
	for _, s := range tr.with("reap-by-ptrace") {
		for _, c := range s.Target.Children {
			if s.Target.PID == parent && s.Status == "done" {
				out = append(out, c.PID)
			}
		}
	}
	return out
}

// A container whose removal fails because a private clone of the mount namespace
// keeps a mount of it is Dead. The copy is unmounted, then docker is asked again.
// Nobody else notices, the holder neither.
func TestHealDockerLeak(t *testing.T) {
	needsDocker(t)
	hosttest.Needs(t, "overlay", storage(t) == "overlay2", "overlayfs does not work where the tests have their data")
	d := startDockerBy(t, "", func(argv []string) []string { return onOldKernel(t, argv) })
	w := world{docker: d.socket}
	other := d.run("other", shareable, "sleep", "1000")
	merged := func(c *container) string { return c.inspect("{{.GraphDriver.Data.MergedDir}}") }
	for _, tt := range []struct {
		name    string
		options []string
		point   func(*container) string
		frees   func(*container) string // what the clone gives up
	}{
		{"merged", nil, merged, func(*container) string { return ":" }},
		{"shm", shareable, (*container).shm, func(c *container) string { return "umount " + merged(c) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := d.run(tt.name, tt.options, "sleep", "1000")
			at := tt.point(c)
			holder := unitIn(t, "private", tt.frees(c))
			if text, err := d.command("rm", "-f", c.id).CombinedOutput(); err == nil || !strings.Contains(string(text), "device or resource busy") {
				t.Fatalf("docker rm: %v: %s", err, text)
			}
			if state := c.inspect("{{.State.Status}}"); state != "dead" {
				t.Fatalf("it is %s", state)
			}
			same := livesOn(t, other)
			w.wantFinding(t, "leaked-mount", func(f finding) bool { return f.Subject.Path == at && f.Subject.Container == c.id })
			w.wantFinding(t, "dead-container", func(f finding) bool { return f.Subject.Container == c.id })

			done := w.treat(t, "disruptive", clean)
			if s := done.only(t, "unmount-in-namespace", "done"); s.Target.Path != at || s.Risk != "safe" {
				t.Errorf("%+v", s)
			}
			if s := done.only(t, "retry-remove", "done"); s.Target.Container != c.id || s.Risk != "disruptive" {
				t.Errorf("%+v", s)
			}
			if all := d.do("ps", "-aq", "--no-trunc"); strings.Contains(all, c.id) || fileExists(at) {
				t.Errorf("it is there: %s, %s", all, at)
			}
			if stateOf(holder) != "S" {
				t.Errorf("the holder is in state %q", stateOf(holder))
			}
			same()
		})
	}
}

// A container is gone, and a private clone of the mount namespace keeps the file
// system of its volume and with that the device. Unmounted there the device is free.
func TestHealDockerVolume(t *testing.T) {
	device, disk := loopDevice(t)
	d := startDocker(t)
	w := world{docker: d.socket}
	other := d.run("other", nil, "sleep", "1000")
	d.do("volume", "create", "-d", "local", "-o", "type=ext4", "-o", "device="+device, "data")
	c := d.run("user", []string{"-v", "data:/data"}, "sleep", "1000")
	at := d.do("volume", "inspect", "-f", "{{.Mountpoint}}", "data")
	holder := unitIn(t, "private", ":")
	d.do("rm", "-f", c.id)
	alive := filepath.Join("/sys/fs/ext4", filepath.Base(device))
	if slices.Contains(mountPoints(t), at) || !fileExists(alive) {
		t.Fatalf("%s is mounted here, or nowhere: %v", at, mountPoints(t))
	}
	same := livesOn(t, other)
	w.wantFinding(t, "leaked-mount", func(f finding) bool { return f.Subject.Path == at })
	w.wantFinding(t, "held-device", func(f finding) bool { return f.Subject.Name == device })

	if s := w.treat(t, "safe", clean).only(t, "unmount-in-namespace", "done"); s.Target.Path != at {
		t.Errorf("%+v", s)
	}
	if fileExists(alive) {
		t.Error(alive + " is there")
	}
	command(t, "mkfs.ext4", "-q", device)
	command(t, "losetup", "--detach", device)
	if attached(t, disk) {
		t.Errorf("%s is still attached", device)
	}
	d.do("volume", "rm", "data")
	if stateOf(holder) != "S" {
		t.Errorf("the holder is in state %q", stateOf(holder))
	}
	same()
}

// Where a container works with a leaked copy nothing smaller than its restart frees it.
func TestHealDockerHolder(t *testing.T) {
	sharedRoot(t)
	d := startDocker(t)
	w := world{docker: d.socket}
	victim := d.run("victim", shareable, "sleep", "1000")
	other := d.run("other", nil, "sleep", "1000")
	shm := victim.shm()
	var holder *container
	d.withData(t, func(alias string) {
		file := "/host" + strings.TrimPrefix(shm, filepath.Join(work, filepath.Base(d.dir))) + "/file"
		holder = d.run("holder", []string{"-v", alias + ":/host:rprivate"}, "sh", "-c", "trap 'exit 0' TERM; [ ! -d ${0%/*} ] || exec 9>$0; echo ready; sleep 1000 & wait", file).ready()
	})
	victim.ended(shm)
	w.wantFinding(t, "leaked-mount", func(f finding) bool { return f.Subject.Container == victim.id })
	same, was := livesOn(t, other), holder.inspect("{{.State.StartedAt}}")

	careful := w.treat(t, "safe", unhealed)
	careful.only(t, "unmount-in-namespace", "refused")
	if s := careful.only(t, "restart-holder", "refused"); s.Why != "its risk is disruptive; --max-risk disruptive allows it" {
		t.Errorf("%+v", s)
	}
	if holder.inspect("{{.State.StartedAt}}") != was {
		t.Error("restarted, though its risk was not allowed")
	}

	done := w.treat(t, "disruptive", unhealed) // one step was refused
	if s := done.only(t, "unmount-in-namespace", "refused"); s.Why != fmt.Sprintf("it is in use: sh (pid %d), container holder, fd 9 uses it (fd); who uses it must let go of it first", holder.pid) {
		t.Errorf("%+v", s)
	}
	if s := done.only(t, "restart-holder", "done"); s.Target.Container != holder.id || s.Target.PID != holder.pid {
		t.Errorf("%+v", s)
	}
	if state := holder.inspect("{{.State.Status}} {{.RestartCount}}"); state != "running 0" || holder.inspect("{{.State.StartedAt}}") == was {
		t.Errorf("it is %s, started at %s", state, was)
	}
	if found := w.scan(t, clean).of("leaked-mount"); len(found) > 0 {
		t.Errorf("found: %+v", found)
	}
	same()
}

// What docker pauses stays so, also if that was planned to run on before; what runs is
// not removed, and no risk is taken that was not named.
func TestHealDockerRefuses(t *testing.T) {
	d := startDocker(t)
	w := world{docker: d.socket}
	frozen, stopped, young := d.run("frozen", nil, "sleep", "1000"), d.run("stopped", nil, "sleep", "1000"), d.run("young", nil, "sleep", "1000")
	all := []*container{frozen, stopped, young}
	for _, c := range all {
		d.do("exec", c.id, "/e2e/children", "orphan", "3")
	}
	stopDaemon(t, stopped.pid)
	untouched := func(when string, same func(), dead int) {
		t.Helper()
		same()
		if state := stateOf(stopped.pid); state == "S" {
			t.Errorf("%s: it runs on", when)
		}
		for i, want := range []int{3, 3, dead} {
			if n := len(zombies(all[i].pid)); n != want {
				t.Errorf("%s: %s has %d dead children, want %d", when, all[i].name, n, want)
			}
		}
	}

	plan := filepath.Join(t.TempDir(), "plan.json")
	t.Run("safe", func(t *testing.T) {
		freeze(t, filepath.Join(filepath.Base(work), "docker", frozen.id))
		same := livesOn(t, all...)
		careful := w.treat(t, "safe", unhealed)
		for action, c := range map[string]*container{"reap-by-ptrace": young, "resume-process": stopped, "thaw": nil} {
			s := careful.only(t, action, "refused")
			if c != nil && s.Target.PID != c.pid || s.Why != "its risk is disruptive; --max-risk disruptive allows it" {
				t.Errorf("%+v", s)
			}
		}
		untouched("--max-risk safe", same, 3)
		writePlan(t, plan, w.sexton(t, "heal", "--interval=300ms", "-o", "json").exits(t, clean).stdout)
	})
	for _, c := range all[:2] {
		d.do("pause", c.id)
		t.Cleanup(func() { d.do("unpause", c.id) })
	}
	t.Run("paused since it was planned", func(t *testing.T) {
		same := livesOn(t, all...)
		bold := w.treat(t, "disruptive", unhealed, "--plan", plan)
		bold.only(t, "reap-by-ptrace", "done")
		bold.only(t, "resume-process", "not-needed") // frozen it is in state D, not T
		if s := bold.only(t, "thaw", "refused"); !strings.Contains(s.Why, "the host gives no such step") {
			t.Errorf("%+v", s)
		}
		untouched("paused", same, 0)
	})
	t.Run("paused and looked at anew", func(t *testing.T) {
		same := livesOn(t, all...)
		if steps := w.treat(t, "disruptive", clean).Steps; len(steps) > 0 {
			t.Errorf("%+v", steps)
		}
		untouched("paused", same, 0)
	})
	t.Run("forged", func(t *testing.T) {
		same := livesOn(t, all...)
		text, err := os.ReadFile(plan)
		if err != nil {
			t.Fatal(err)
		}
		forged := strings.Replace(string(text), `"action":"reap-by-ptrace"`, `"action":"retry-remove"`, 1)
		forged = strings.Replace(forged, `"kind":"children"`, fmt.Sprintf(`"kind":"container","runtime":"docker","socket":%q,"container":%q`, d.socket, young.id), 1)
		writePlan(t, plan, forged)
		if s := w.treat(t, "destructive", unhealed, "--plan", plan).only(t, "retry-remove", "refused"); s.Target.Container != young.id || !strings.Contains(s.Why, "the plan's file was changed") {
			t.Errorf("%+v", s)
		}
		untouched("forged", same, 0)
	})
}

func writePlan(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
