package e2e

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// The README's line for a host that one may only enter by a container: the
// host's files below /host, its sockets found there. kubectl debug node gives
// the same but for the propagation.
func TestRootedInContainer(t *testing.T) {
	needsDocker(t)
	// rslave wants a shared mount to be the slave of; this is the sandbox's own.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "") })
	d := startDocker(t)
	if err := os.Link(d.socket, "/run/docker.sock"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/run/docker.sock") })
	web := d.run("web", nil, "sleep", "1000")
	web.leaveOrphans(2)
	hosttest.Until(t, soon, "4 zombies in web", func() bool { return len(zombies(web.pid)) >= 4 })
	for _, tt := range []struct{ name, volume, pids string }{
		{"docker run", "/:/host:rslave", "--pid=host"},
		{"kubectl debug node", "/:/host", "--pid=host"},
		{"a PID namespace of its own", "/:/host", "--pid="}, // the /proc below /host is the host's all the same
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--network=none", tt.pids, "-v", tt.volume, "-v", sexton() + ":/sexton:ro"}, privileged(t)...)
			cmd := d.command(append(args, image, "/sexton", "scan", "--root", "/host", "-o", "json")...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			r := run{argv: cmd.Args, code: exitCode(cmd.ProcessState), stdout: stdout.String(), stderr: stderr.String()}
			f := r.exits(t, findings).report(t).only(t, "unreaped-children", "web")
			if f.Subject.PID != web.pid || f.Subject.Container != web.id {
				t.Errorf("found %+v, want pid %d of container %s", f.Subject, web.pid, web.id)
			}
		})
	}
}

// privileged gives a container all that this machine has: runc fails to give it
// what its own process lacks.
func privileged(t *testing.T) []string {
	t.Helper()
	const sysResource = 24
	has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, sysResource, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if has == 1 {
		return []string{"--privileged"}
	}
	return []string{"--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined"}
}
