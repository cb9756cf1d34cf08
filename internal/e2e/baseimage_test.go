package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// loadBaseImage gives docker the image that deploy/baseimage makes, and returns its name.
func loadBaseImage(t *testing.T, d *dockerd) string {
	t.Helper()
	file := "../../bin/baseimage-" + runtime.GOARCH + ".tar"
	_, err := os.Stat(file)
	hosttest.Needs(t, "baseimage", err == nil, "make baseimage")
	_, name, ok := strings.Cut(d.do("load", "-q", "-i", file), "Loaded image: ")
	if !ok {
		t.Fatal("docker load names no image")
	}
	return name
}

// logsSay waits for a text in the container's output.
func (c *container) logsSay(text string) {
	c.d.t.Helper()
	for end := time.Now().Add(soon); !strings.Contains(c.logs(), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.d.t.Fatalf("%s does not say %q; logs:\n%s", c.name, text, c.logs())
		}
	}
}

// sv finds the process in what runit's sv(8) says of a service.
var sv = regexp.MustCompile(`pid [0-9]+`)

// What people use a fat container for: services, cron, a log, hooks and an
// environment in files, and an end in order.
func TestBaseImage(t *testing.T) {
	d := startDocker(t)
	base := loadBaseImage(t, d)
	var options []string
	add := func(to, text string, mode os.FileMode) {
		from := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(from, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		options = append(options, "-v", from+":"+to)
	}
	add("/etc/sexton-init/start/10-hook", "#!/bin/sh\necho start-hook $FILE\nprintf hook >/etc/container_environment/HOOK\n", 0o755)
	add("/etc/sexton-init/post-stop/10-hook", "#!/bin/sh\necho post-stop-hook $(grep -lx runsv /proc/[0-9]*/comm)\n", 0o755)
	add("/etc/container_environment/FILE", "file", 0o644)
	add("/etc/cron.d/e2e", "@reboot root echo cron-job | /usr/bin/logger -t e2e\n", 0o644)
	c := d.runOf(base, "base", options, "sh", "-c", `echo main $FILE $HOOK; trap "echo main-ends; exit 7" TERM; while :; do sleep 0.05; done`)
	for _, want := range []string{"start-hook file\n", "main file hook\n", "e2e: cron-job"} {
		c.logsSay(want)
	}
	d.do("exec", c.id, "logger", "-t", "app", "first-line")
	c.logsSay("app: first-line")

	daemon := func() string { return sv.FindString(d.do("exec", c.id, "sv", "status", "/etc/service/syslog")) }
	first := daemon()
	if first == "" {
		t.Fatal("sv names no syslog daemon")
	}
	d.do("exec", c.id, "sh", "-c", "kill -KILL "+strings.TrimPrefix(first, "pid "))
	hosttest.Until(t, soon, "runit starts the service that died again", func() bool {
		again := daemon()
		return again != "" && again != first
	})
	hosttest.Until(t, soon, "its socket is there", func() bool {
		return d.command("exec", c.id, "sh", "-c", "logger -t app second-line").Run() == nil && strings.Contains(c.logs(), "app: second-line")
	})
	if left := zombies(c.pid); len(left) > 0 {
		t.Errorf("zombies %v", left)
	}
	if took := c.stop(); took > 10*time.Second {
		t.Errorf("stop took %v", took)
	}
	c.wantExit(7)
	logs := c.logs()
	if at, end := strings.Index(logs, "main-ends"), strings.Index(logs, "post-stop-hook\n"); at < 0 || end < at {
		t.Errorf("not the main child, then its services, then the hook:\n%s", logs)
	}
}

// Without a command the services are all there is. A container of my_init's
// users has its hooks and its entrypoint.
func TestBaseImageServicesOnly(t *testing.T) {
	d := startDocker(t)
	base := loadBaseImage(t, d)
	hook := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho my-hook $GREETING\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ours := d.runOf(base, "services", nil)
	theirs := d.runOf(base, "my-init", []string{"--entrypoint", "/sbin/my_init", "-e", "GREETING=hello", "-v", hook + ":/etc/my_init.d/10-hook"})
	theirs.logsSay("my-hook hello\n")
	for _, c := range []*container{ours, theirs} {
		c.logsSay("syslogd started")
		if took := c.stop(); took > 10*time.Second {
			t.Errorf("%s: stop took %v", c.name, took)
		}
		c.wantExit(0)
	}
}
