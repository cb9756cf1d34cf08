package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// A ward is one container with zombies, and what sexton must say of it.
type ward struct {
	*container
	parent int      // pid of who does not reap
	dead   int      // children, at least
	says   []string // in title and cause
	not    []string
	acts   []string // remedies
}

// wards starts a container for each way in which the dead are left.
func wards(t *testing.T, d *dockerd) map[string]*ward {
	health := d.run("health", []string{"--health-interval=1s", "--health-cmd", "sleep 0.1 & true"}, "sleep", "1000") // first: it wants time
	all := map[string]*ward{
		"exec":    {container: d.run("exec", nil, "sleep", "1000"), dead: 6, says: []string{"PID 1 of its PID namespace", "leaves SIGCHLD at its default", "6 adopted orphans (sleep × 6) from 3 other sessions"}, not: []string{"started"}, acts: []string{"reap-by-ptrace"}},
		"ignored": {container: d.run("ignored", nil, "/e2e/children", "leave", "4", "ignored").ready(), dead: 4, says: []string{"PID 1", "ignores SIGCHLD", "4 children", "(left-dead × 4)"}, not: []string{"adopted"}},
		"blocked": {container: d.run("blocked", nil, "/e2e/children", "leave", "2", "blocked").ready(), dead: 2, says: []string{"PID 1", "blocks SIGCHLD", "2 children", "(left-dead × 2)"}, not: []string{"adopted"}},
		"go":      {container: d.run("go", nil, "/e2e/go-leaver").ready(), dead: 3, says: []string{"PID 1", "catches SIGCHLD", "3 children", "(true × 3)"}, not: []string{"adopted"}, acts: []string{"nudge-parent"}},
		"python":  {container: d.run("python", []string{"-v", "/usr:/usr:ro"}, "/usr/bin/python3", "/e2e/leaver.py").ready(), dead: 3, says: []string{"PID 1", "leaves SIGCHLD at its default", "3 children", "(true × 3)"}, not: []string{"adopted"}},
		"below":   {container: d.run("below", nil, "sh", "-c", "/e2e/children leave 3 default; true").ready(), dead: 3, says: []string{"children (pid", "leaves SIGCHLD at its default", "3 children", "(left-dead × 3)"}, not: []string{"PID 1", "adopted"}},
		"both":    {container: d.run("both", nil, "/e2e/children", "leave", "2", "caught").ready(), dead: 4, says: []string{"catches SIGCHLD", "2 children", "(left-dead × 2)", "2 adopted orphans (sleep × 2) from 1 other session"}, acts: []string{"nudge-parent", "reap-by-ptrace"}},
		"health":  {container: health, dead: 8, says: []string{"PID 1", "leaves SIGCHLD at its default", "health check"}, acts: []string{"reap-by-ptrace"}},
	}
	all["exec"].leaveOrphans(3)
	all["both"].leaveOrphans(1)
	for name, w := range all {
		if w.parent = w.pid; name == "below" {
			w.parent = w.top("children")[0]
		}
		hosttest.Until(t, soon, fmt.Sprintf("%d zombies in %s", w.dead, name), func() bool { return len(zombies(w.parent)) >= w.dead })
	}
	return all
}

// Each way to leave the dead gets one finding, with the container, the parent,
// the origin and the reason; and so it does from a recording.
func TestDockerZombies(t *testing.T) {
	d := startDocker(t)
	tini := d.run("tini", []string{"--init"}, "sleep", "1000")
	tini.leaveOrphans(3)
	shell := d.run("shell", nil, "sh", "-c", "sleep 1000; true")
	all := wards(t, d)
	leavesNothing(t)
	here := world{docker: d.socket}
	r := here.scan(t, findings)

	for name, w := range all {
		t.Run(name, func(t *testing.T) { w.check(t, r.only(t, "unreaped-children", name)) })
	}
	t.Run("no others", func(t *testing.T) {
		if n := len(r.of("unreaped-children")); n != len(all) {
			t.Errorf("%d parents, want %d: %s", n, len(all), r.titles())
		}
		if why := r.unknown(""); why != "" {
			t.Errorf("cannot tell: %s", r.titles())
		}
	})
	t.Run("no-init", func(t *testing.T) {
		for name, want := range map[string]string{"exec": "reaps no orphans and takes no TERM", "shell": "is a shell that passes no TERM to sleep"} {
			f := r.only(t, "no-init", name)
			if f.Severity != "info" || !strings.Contains(f.Title, want) {
				t.Errorf("%s: %s %q, want info and %q", name, f.Severity, f.Title, want)
			}
		}
		if f := r.only(t, "no-init", "shell"); f.Subject.Kind != "container" || f.Subject.Container != shell.id || f.Holders[0].PID != shell.pid {
			t.Errorf("subject %+v, holders %+v", f.Subject, f.Holders)
		}
		for _, f := range r.Findings {
			if f.Subject.Container == tini.id {
				t.Errorf("tini reaps and forwards: %s", f.Title)
			}
		}
	})
	t.Run("pace", func(t *testing.T) { // a busy machine may take a while to be even
		hosttest.Until(t, time.Minute, "an even pace is seen", func() bool {
			r := here.sexton(t, "scan", "--interval=500ms", "--check=unreaped-children", "-o", "json").exits(t, findings).report(t)
			return regexp.MustCompile(`as its health check leaves them: one about every [12] s`).MatchString(r.only(t, "unreaped-children", "health").Cause)
		})
	})
	t.Run("why", func(t *testing.T) { testWhy(t, here, all["exec"], r) })
	t.Run("ps", func(t *testing.T) { testPS(t, here, all) })
}

// check compares a finding with what docker says of the container.
func (w *ward) check(t *testing.T, f finding) {
	if f.Subject.Container != w.id || f.Subject.PID != w.parent || f.Severity == "info" {
		t.Errorf("severity %s, subject %+v; docker: id %s, parent %d", f.Severity, f.Subject, w.id, w.parent)
	}
	if len(f.Holders) != 1 || f.Holders[0].PID != w.parent || f.Holders[0].Container != w.id {
		t.Errorf("holders %+v", f.Holders)
	}
	text := f.Title + ". " + f.Cause
	for _, s := range w.says {
		if !strings.Contains(text, s) {
			t.Errorf("does not say %q: %s", s, text)
		}
	}
	for _, s := range w.not {
		if strings.Contains(text, s) {
			t.Errorf("says %q: %s", s, text)
		}
	}
	var acts []string
	for _, m := range f.Remedies {
		acts = append(acts, m.Action)
	}
	if slices.Sort(acts); !slices.Equal(acts, w.acts) {
		t.Errorf("remedies %q, want %q", acts, w.acts)
	}
	if len(f.Evidence) == 0 || f.Harm == "" || f.Since.IsZero() {
		t.Errorf("lacks evidence, harm or since: %+v", f)
	}
}

// testWhy asks for one container in every way that a user might.
func testWhy(t *testing.T, here world, w *ward, r report) {
	f := r.only(t, "unreaped-children", w.name)
	z := zombies(w.parent)[0]
	for _, tt := range []struct {
		name, target string
		code         int
		says         []string
	}{
		{"name", w.name, findings, []string{"Container exec (docker, image " + image, "6 dead", "SIGCHLD at its default", f.ID}},
		{"id", w.id, findings, []string{"Container exec", f.ID}},
		{"id prefix", w.id[:7], findings, []string{"Container exec", f.ID}},
		{"pid 1", fmt.Sprint(w.pid), findings, []string{fmt.Sprintf("sleep (pid %d) in container exec", w.pid), "6 dead children", f.ID}},
		{"zombie", fmt.Sprint(z), findings, []string{fmt.Sprintf("sleep (pid %d) in container exec is dead", z), "kill -0", fmt.Sprintf("sleep (pid %d) in container exec has not waited for it", w.pid), f.ID}},
		{"finding", f.ID, findings, []string{"6 adopted orphans", "docker run --init"}},
		{"cgroup", "/" + filepath.Base(work) + "/docker/" + w.id, findings, []string{"6 dead", f.ID}},
		{"healthy", "tini", clean, []string{"Container tini", "Nothing is wrong with it"}},
		{"near name", "exek", failed, []string{`"exek" is no pid, container, pod, cgroup, mount, device or finding`, "did you mean exec"}},
		{"no pid", "4194300", failed, []string{"is no pid"}},
		{"hostile", "\x1b[2Jx\n", failed, []string{`\x1b[2Jx\n`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := here.sexton(t, "why", "--interval=300ms", "--", tt.target).exits(t, tt.code).says(t, tt.says...)
			if strings.ContainsRune(run.stdout+run.stderr, '\x1b') {
				t.Errorf("raw escape sequence\n%s", run)
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		got := here.sexton(t, "why", "-o", "json", w.name).exits(t, findings).report(t)
		if got.only(t, "unreaped-children", w.name).ID != f.ID || !strings.Contains(got.Answer, "6 dead children") {
			t.Errorf("answer %q, findings %s", got.Answer, got.titles())
		}
		for _, f := range got.Findings {
			if f.Subject.Container != w.id {
				t.Errorf("not about the target: %s", f.Title)
			}
		}
	})
}

// testPS looks for the containers and their dead in both forms of ps.
func testPS(t *testing.T, here world, all map[string]*ward) {
	r := here.sexton(t, "ps").exits(t, clean)
	r.says(t, "container exec, docker, "+image, "× 6 dead (sleep × 6)", "6 dead children not reaped; SIGCHLD default", "SIGCHLD ignored", "SIGCHLD caught", "SIGCHLD blocked", "container tini")
	items := processes(t, here.sexton(t, "ps", "-o", "json").exits(t, clean))
	for name, w := range all {
		p, ok := items[w.parent]
		if !ok || p.Container != w.id || p.Zombies < w.dead {
			t.Errorf("%s: %+v, want container %s and %d zombies", name, p, w.id, w.dead)
		}
		for _, z := range zombies(w.parent)[:w.dead] {
			if items[z].State != "Z" || items[z].PPID != w.parent {
				t.Errorf("%s: zombie %d is %+v", name, z, items[z])
			}
		}
	}
}
