package e2e

import (
	"net"
	"os"
	"strings"
	"testing"

	"sexton.dev/internal/hosttest"
)

// program runs one of the misbehaving programs beside the tests, until the test ends.
func program(t *testing.T, argv ...string) int {
	t.Helper()
	hosttest.Needs(t, "gcc", fileExists(work+"/bin/children"), "gcc and libc6-dev are missing: scripts/install-test-needs.sh")
	return background(t, append([]string{work + "/bin/children"}, argv...)...)
}

// Without root there is a report of what everybody may read, and it never says that all is well.
func TestNotRoot(t *testing.T) {
	sandboxed(t)
	leavesNothing(t)
	forget(t)
	nobody := world{uid: 65534, docker: rootsSocket(t)}
	const needsRoot = "needs root: system calls, kernel stacks and namespaces are hidden"
	t.Run("nothing wrong", func(t *testing.T) {
		r := nobody.sexton(t, "scan", "-o", "json").exits(t, cantTell).report(t)
		if why := r.unknown("/proc of other users"); why != needsRoot {
			t.Errorf("%q: %s", why, r.titles())
		}
		if why := r.unknown("docker at "); !strings.Contains(why, "permission denied") {
			t.Errorf("docker: %q", why)
		}
		nobody.sexton(t, "scan", "--interval=300ms").exits(t, cantTell).says(t, "Cannot tell", needsRoot)
		nobody.sexton(t, "scan", "--interval=0", "--check=pid-budget").exits(t, cantTell)
		nobody.sexton(t, "why", "--interval=300ms", "1").exits(t, cantTell)
		nobody.sexton(t, "heal", "--interval=300ms").exits(t, cantTell).says(t, "cannot be told", "Cannot tell", needsRoot)
		p := nobody.sexton(t, "heal", "--interval=300ms", "-o", "json").exits(t, cantTell).plan(t)
		if len(p.Unknown) != len(r.Unknown) || p.Unknown[0].Check == "" || p.Unknown[0].Why != needsRoot {
			t.Errorf("heal does not know %+v, scan %+v", p.Unknown, r.Unknown)
		}
		nobody.sexton(t, "heal", "--resume").exits(t, unhealed).says(t, "lock: ", "permission denied", "try: run it as root on the host")
		nobody.sexton(t, "ps").exits(t, clean)
		for _, flag := range []string{"--probe-locks", "--self-test"} {
			nobody.sexton(t, "propagation", "/", flag).exits(t, failed).says(t, flag+" needs root", "try: run it as root")
		}
	})
	t.Run("zombies", func(t *testing.T) {
		pid := program(t, "leave", "3", "default")
		hosttest.Until(t, soon, "3 zombies", func() bool { return len(zombies(pid)) == 3 })
		r := nobody.sexton(t, "scan", "-o", "json").exits(t, findings).report(t)
		if f := r.only(t, "unreaped-children", "children"); f.Subject.PID != pid || r.unknown("/proc of other users") != needsRoot {
			t.Errorf("%+v: %s", f.Subject, r.titles())
		}
		nobody.sexton(t, "scan", "--interval=300ms", "--fail-on=critical").exits(t, cantTell)
	})
}

// rootsSocket makes a socket where docker's is, as docker makes it: all see it, root may connect.
func rootsSocket(t *testing.T) string {
	t.Helper()
	path := "/run/docker.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	return path
}
