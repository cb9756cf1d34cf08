package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// attributed polls sexton until it finds a kill that the kernel has logged, and fails the
// test if that takes longer than a second from then.
func attributed(t *testing.T, w world, killed *death, check, name string) finding {
	t.Helper()
	w = withKernelLog(w)
	for end := time.Now().Add(30 * time.Second); ; {
		r := w.sexton(t, "scan", "--interval=0", "--check", check, "-o", "json").exits(t, clean, findings).report(t)
		for _, f := range r.Findings {
			if f.Subject.Name != name && f.Subject.Container != name {
				continue
			}
			found := time.Now()
			hosttest.Until(t, soon, "this test is told of the kill too", func() bool { return !killed.when().IsZero() })
			took := found.Sub(killed.when())
			if took > time.Second {
				t.Errorf("found %v after the kernel told of it, at %v", took, killed.when())
			}
			t.Logf("%s of %s: %v after the kernel told of it", check, name, took.Round(time.Millisecond))
			return f
		}
		if time.Now().After(end) {
			t.Fatalf("not found: %s\nkilled at %v", r.titles(), killed.when())
		}
	}
}

// grow is a shell's way to use up memory.
const grow = "a=x; while :; do a=$a$a; done"

// A container in which the kernel killed is named within a second: a child of its program,
// which docker does not tell of, and the program itself, whose cgroup is gone by then.
func TestOOMDocker(t *testing.T) {
	d := startDocker(t)
	w := world{docker: d.socket}
	limit := []string{"-m", "16m", "--memory-swap", "16m"}

	t.Run("a child", func(t *testing.T) {
		c := d.create("worker", limit, "sh", "-c", fmt.Sprintf("sh -c '%s'; echo ready; sleep 1000", grow))
		killed := deathOf(t, c.id, "sh")
		d.do("start", c.id)
		f := attributed(t, w, killed, "oom-container", "worker")
		if f.Severity != "warning" || f.Subject.Container != c.id || !strings.Contains(f.Cause, "16 MiB") || !strings.Contains(f.Harm, "runs on without it") {
			t.Errorf("%+v", f)
		}
		if state := c.ready().inspect("{{.State.Status}} {{.State.OOMKilled}}"); !strings.HasPrefix(state, "running") {
			t.Errorf("it is %s", state)
		} else {
			t.Logf("docker says of it (status, OOMKilled): %s", state)
		}
	})
	var gone string
	t.Run("the first process, and the container is removed", func(t *testing.T) {
		c := d.create("gone", append([]string{"--rm"}, limit...), "sh", "-c", grow)
		killed := deathOf(t, c.id, "sh")
		d.do("start", c.id)
		attributed(t, w, killed, "oom-container", c.id)
		hosttest.Until(t, soon, "docker has removed it", func() bool { return d.do("ps", "-aqf", "id="+c.id) == "" })
		gone = c.id
		if _, err := os.Stat(filepath.Join("/sys/fs/cgroup/memory", filepath.Base(work), "docker", c.id)); err == nil {
			t.Error("its cgroup is still there")
		}
		r := withKernelLog(w).scan(t, findings)
		f := r.only(t, "oom-container", c.id[:12])
		if !strings.Contains(f.Title, "which is gone, ran out of memory: the kernel killed sh (pid ") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("why", func(t *testing.T) {
		if gone == "" {
			t.Fatal("no container is gone")
		}
		withKernelLog(w).sexton(t, "why", "--interval=0", gone).exits(t, findings, cantTell).says(t, "is not there any more", "ran out of memory: the kernel killed")
	})
	t.Run("an older kill is info", func(t *testing.T) {
		time.Sleep(time.Second) // the log tells seconds
		r := withKernelLog(w).sexton(t, "scan", "--interval=0", "--check", "oom-container", "--since", "0s", "-o", "json").exits(t, clean).report(t)
		if f := r.only(t, "oom-container", "worker"); f.Severity != "info" {
			t.Errorf("%+v", f)
		}
	})
}

// runtimeOf makes a runtime of docker's that runs a script before each start of a
// container, and then runc. In the script $id is the container, $state its state.json.
func runtimeOf(t *testing.T, name, beforeStart string) (flag string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	script := fmt.Sprintf("#!/bin/sh\nroot=; for word; do test \"$last\" != --root || root=$word; last=$word; done; id=$last\n"+
		"case \" $* \" in *\" start \"*)\nstate=$root/$id/state.json\n%s\n;; esac\nexec runc \"$@\"\n", beforeStart)
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return "--add-runtime=" + name + "=" + file
}

// runc's init counts against the limit of the container that it prepares. When that
// kills it, the container is named, and that it was the init and not the program.
// Here the limit shrinks to what the init has before it executes the program, whose
// arguments then have no room.
func TestOOMInit(t *testing.T) {
	groups := "/sys/fs/cgroup/memory/" + filepath.Base(work) + "/docker/$id"
	d := startDocker(t, runtimeOf(t, "tight", fmt.Sprintf("at=%[1]s; if test -d $at; then cat $at/memory.usage_in_bytes >$at/memory.limit_in_bytes\n"+
		"else at=/sys/fs/cgroup/%[2]s/docker/$id; cat $at/memory.current >$at/memory.max; fi", groups, filepath.Base(work))))
	w := world{docker: d.socket}
	file := filepath.Join(t.TempDir(), "env")
	var env strings.Builder
	for i := range 20 {
		fmt.Fprintf(&env, "V%d=%s\n", i, strings.Repeat("x", 50<<10))
	}
	if err := os.WriteFile(file, []byte(env.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	id := d.do("create", "--runtime=tight", "--name", "small", "--network=none", "-m", "32m", "--memory-swap", "32m", "--env-file", file, image, "sleep", "1000")
	killed := deathOf(t, id, "runc:[2:INIT]")
	start := make(chan string, 1)
	go func() {
		text, err := d.command("start", "small").CombinedOutput()
		start <- fmt.Sprintf("%v: %s", err, text)
	}()
	f := attributed(t, w, killed, "oom-runtime", "small")
	t.Logf("docker start: %s", <-start)
	if f.Subject.Container != id || !strings.Contains(f.Title, "the kernel killed runc's init of container small for want of memory") || !strings.Contains(f.Cause, "the limit was reached there: ") {
		t.Errorf("%+v", f)
	}
	d.do("rm", "-f", "small")
	r := withKernelLog(w).scan(t, findings)
	if f = r.only(t, "oom-runtime", id[:12]); f.Severity != "warning" {
		t.Errorf("%+v", f)
	}
}
