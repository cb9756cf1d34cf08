package blackbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// bomb is a main child that forks without end when USR1 comes, and so do its
// children, which hear no TERM. It leaves with 3 at TERM.
const bomb = `$| = 1; my $main = $$; my $lit = 0; $SIG{USR1} = sub { $lit = 1 }; $SIG{TERM} = sub { exit 3 if $$ == $main };
print "ready\n"; select undef, undef, undef, 0.01 until $lit;
my $full = 0; while (1) { my $p = fork; print "full\n" if !defined $p && $$ == $main && !$full++; select undef, undef, undef, 0.02 }`

// join puts an init and its main child into a cgroup.
func join(t *testing.T, group string, r *run) {
	t.Helper()
	one := strconv.Itoa(r.pid())
	var pids []string
	hosttest.Until(t, limit, "the init's only child", func() bool { // the first Go child may still be there
		pids = []string{one}
		lists, _ := filepath.Glob("/proc/" + one + "/task/*/children") // the Go loop's main child is any thread's
		for _, list := range lists {
			children, _ := os.ReadFile(list)
			pids = append(pids, strings.Fields(string(children))...)
		}
		return len(pids) == 2
	})
	for _, pid := range pids { // the bomb must not go off outside
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(pid), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForkBomb fills a container with processes that fork without end: the init
// lives, TERM reaches the main child, its code is the init's, and none is left.
func TestForkBomb(t *testing.T) {
	hosttest.NeedsRoot(t)
	for _, form := range []struct{ name, flags string }{{"entry", entryFlag()}, {"loop", ""}} {
		binary := build(t, own, form.flags, "")
		for _, flag := range []string{"--drain", "--no-drain"} {
			t.Run(form.name+"/"+flag, func(t *testing.T) {
				group := pidsGroup(t)
				r := begin(t, binary, []string{flag, "--kill-after=1s"}, "/usr/bin/perl", "-e", bomb)
				if err := r.line("ready"); err != nil {
					t.Fatal(err)
				}
				join(t, group, r)
				if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte("60"), 0); err != nil {
					t.Fatal(err)
				}
				if err := r.signal(10); err != nil {
					t.Fatal(err)
				}
				if err := r.line("full"); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := r.signal(15); err != nil {
					t.Fatal(err)
				}
				if code, err := r.code(); err != nil || code != 3 {
					t.Errorf("code %d, %v; output:\n%s", code, err, tail(r.output()))
				}
				if took := time.Since(began); took > limit {
					t.Errorf("it took %v", took)
				}
				hosttest.Until(t, limit, "the end of all", func() bool {
					left, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
					return err == nil && len(left) == 0
				})
			})
		}
	}
}

// together is a main child that leaves at the moment when hundreds of orphans do.
const together = `use POSIX; my ($n, $code) = @ARGV; pipe my $r, my $w; pipe my $up, my $told;
if (!fork) { close $w; for (1 .. $n) { if (!fork) { syswrite $told, "x"; sysread $r, my $x, 1; POSIX::_exit(0) } } POSIX::_exit(0) }
wait; for (1 .. $n) { sysread $up, my $x, 1 } POSIX::_exit($code)`

// TestTogether lets the main child leave together with hundreds of orphans, whose
// signals become one: its exit code is not lost among theirs.
func TestTogether(t *testing.T) {
	n, random := hosttest.Trials(t, 25, 2000)
	binary := build(t, own, entryFlag(), "")
	for i := range n {
		want, flag := random.IntN(256), []string{"--drain", "--no-drain"}[random.IntN(2)]
		r := begin(t, binary, []string{flag}, "/usr/bin/perl", "-e", together, "300", strconv.Itoa(want))
		if code, err := r.code(); err != nil || code != want {
			t.Fatalf("round %d, %s: code %d, want %d, %v; output:\n%s", i, flag, code, want, err, tail(r.output()))
		}
	}
}
