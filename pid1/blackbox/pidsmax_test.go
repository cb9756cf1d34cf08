package blackbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// pidsGroup makes a cgroup that counts pids, in whichever version the host has it.
func pidsGroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir, err := os.MkdirTemp(root, "sexton-blackbox-")
		if err != nil {
			continue
		}
		if _, err := os.Stat(dir + "/pids.max"); err != nil {
			os.Remove(dir)
			continue
		}
		t.Cleanup(func() {
			for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) { // until its last process is gone
				if err := os.Remove(dir); err == nil || errors.Is(err, syscall.ENOENT) || time.Now().After(end) {
					return
				}
			}
		})
		return dir
	}
	hosttest.Needs(t, "cgroups", false, "a writable cgroup hierarchy with the pids controller")
	return ""
}

// TestPidsMax stops a container in which no process can be made: without a Go
// child the init does what tini does, and lives until its main child ends.
func TestPidsMax(t *testing.T) {
	hosttest.NeedsRoot(t)
	for _, form := range []struct{ name, flags string }{{"entry", entryFlag()}, {"loop", ""}} {
		t.Run(form.name, func(t *testing.T) {
			group := pidsGroup(t)
			r := begin(t, build(t, own, form.flags, ""), []string{"--warn-zombies=1s"}, "/usr/bin/perl", "-e",
				`$| = 1; my $n = 0; $SIG{USR1} = sub { print "got 10.\n" }; $SIG{TERM} = sub { print "got 15.\n"; exit 3 if ++$n == 2 }; print "ready\n"; sleep 1 while 1`)
			if err := r.line("ready"); err != nil {
				t.Fatal(err)
			}
			join(t, group, r)
			if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
			for _, sig := range []int{10, 15} {
				if err := r.signal(sig); err != nil {
					t.Fatal(err)
				}
				if err := r.line(fmt.Sprintf("got %d.", sig)); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.signal(15); err != nil {
				t.Fatal(err)
			}
			if code, err := r.code(); err != nil || code != 3 {
				t.Errorf("code %d, %v; output:\n%s", code, err, r.output())
			}
		})
	}
}
