package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sexton.dev/internal/hosttest"
)

// lint judges a file.
func (w world) lint(t *testing.T, file string) report {
	t.Helper()
	r := w.sexton(t, "lint", "-o", "json", file).exits(t, clean, findings)
	var out report
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || out.Kind != "Report" {
		t.Fatalf("%v\n%s", err, r)
	}
	return out
}

// What lint says of a container before it runs is what scan finds when it does.
func TestLintAndScanAgree(t *testing.T) {
	sharedRoot(t)
	d := startDocker(t)
	forget(t)
	here := world{docker: d.socket}
	const sleep = "init: true\n    command: sleep 1000\n    volumes: "
	for i, tt := range []struct {
		name    string
		options []string
		argv    []string
		compose string // of the service
		check   string // that both find; "" for none
	}{
		{"a shell with a list", nil, []string{"sh", "-c", "sleep 1000; true"}, `command: sh -c "sleep 1000; true"`, "no-init"},
		{"a program that reaps nothing", nil, []string{"sleep", "1000"}, "command: sleep 1000", "no-init"},
		{"with an init", []string{"--init"}, []string{"sleep", "1000"}, "init: true\n    command: sleep 1000", ""},
		{"the host's run", []string{"--init", "-v", "/run:/host:ro"}, []string{"sleep", "1000"}, sleep + "['/run:/host:ro']", "hostpath-no-propagation"},
		{"with propagation", []string{"--init", "-v", "/run:/host:ro,rslave"}, []string{"sleep", "1000"}, sleep + "['/run:/host:ro,rslave']", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := fmt.Sprintf("lint%d", i)
			c := d.run(name, tt.options, tt.argv...)
			defer d.do("rm", "-f", c.id)
			file := filepath.Join(t.TempDir(), "compose.yaml")
			if err := os.WriteFile(file, []byte("services:\n  "+name+":\n    "+tt.compose+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			linted := here.lint(t, file)
			scanned := here.sexton(t, "scan", "--check", "no-init,hostpath-no-propagation", "-o", "json").exits(t, clean, findings).report(t)
			for _, check := range []string{"no-init", "hostpath-no-propagation"} {
				before, now := len(linted.of(check)) > 0, false
				for _, f := range scanned.of(check) {
					now = now || f.Subject.Container == c.id
				}
				if want := check == tt.check; before != want || now != want {
					t.Errorf("%s: lint %v, scan %v, want %v", check, before, now, want)
				}
			}
		})
	}
}

// The least memory is what docker says that it is, and a container starts with it.
func TestLeastMemory(t *testing.T) {
	d := startDocker(t)
	d.run("least", []string{"--memory=6m"}, "sleep", "1000")
	out, err := d.command("run", "--network=none", "--memory=6291455b", image, "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Minimum memory limit allowed is 6MB") {
		t.Errorf("%v: %s", err, out)
	}
	dir := t.TempDir()
	for limit, code := range map[string]int{"6291455b": findings, "6m": clean} {
		file := filepath.Join(dir, limit+".compose.yaml")
		if err := os.WriteFile(file, []byte("services: {a: {mem_limit: "+limit+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		world{}.sexton(t, "lint", file).exits(t, code)
	}
}

// Which shells wait for a single command, and which replace themselves by it.
func TestShells(t *testing.T) {
	sandboxed(t)
	for _, tt := range []struct {
		argv  []string
		waits bool
	}{
		{[]string{"/bin/dash", "-c"}, true},
		{[]string{"/bin/bash", "-c"}, false},
		{[]string{busybox, "sh", "-c"}, false},
	} {
		t.Run(strings.Join(tt.argv, " "), func(t *testing.T) {
			hosttest.Needs(t, "shells", fileExists(tt.argv[0]), tt.argv[0]+" is missing")
			cmd := exec.Command(tt.argv[0], append(tt.argv[1:], "sleep 1000")...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var children []int
			t.Cleanup(func() {
				for _, pid := range children {
					if p, err := os.FindProcess(pid); err == nil {
						p.Kill()
					}
				}
				cmd.Process.Kill()
				cmd.Wait()
			})
			pid := cmd.Process.Pid
			waits := false
			hosttest.Until(t, soon, "it sleeps", func() bool {
				line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
				for _, child := range strings.Fields(string(text)) {
					n := 0
					fmt.Sscan(child, &n)
					children = append(children, n)
					waits = true
				}
				return waits || string(line) == "sleep\x001000\x00"
			})
			if waits != tt.waits {
				t.Errorf("waits %v, want %v", waits, tt.waits)
			}
		})
	}
}
