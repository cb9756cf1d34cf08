package blackbox

import (
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"sexton.dev/internal/hosttest"
)

func behaviours() []behaviour {
	return slices.Concat(exits(), signals(), surroundings(), draining())
}

// cases counts a behaviour in each dialect.
func cases() (n int) {
	for _, b := range behaviours() {
		n += len(b.in)
	}
	return n
}

// TestOurs holds our init to every behaviour in every dialect, with its entry and
// as the Go loop.
func TestOurs(t *testing.T) {
	hosttest.NeedsRoot(t)
	if n := cases(); n < 150 {
		t.Errorf("%d cases are less than 150", n)
	} else {
		t.Logf("%d cases", n)
	}
	for _, form := range []struct{ name, flags string }{{"entry", entryFlag()}, {"loop", ""}} {
		p := initProgram{name: form.name, path: build(t, own, form.flags, "")}
		t.Run(form.name, func(t *testing.T) {
			for _, b := range behaviours() {
				for _, dialect := range b.in {
					t.Run(b.name+"/"+dialect, func(t *testing.T) {
						t.Parallel()
						if why := notInLoop[b.name]; form.name == "loop" && why != "" {
							t.Logf("the Go loop differs: %s", why)
							return
						}
						if err := b.judge(t, p, dialect); err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
}

// notInLoop are the behaviours that the Go loop cannot have, and why.
var notInLoop = map[string]string{
	"is light at rest":                    "the Go runtime stays",
	"ignored signals stay ignored":        "the runtime installs handlers over all but HUP and INT before it can be asked",
	"CHLD ignored at the beginning":       "as above",
	"blocked signals stay blocked":        "the runtime unblocks some",
	"holds no directory, with each event": "the runtime makes the main child, and it lets go later",
	"URG and PROF are forwarded":          "the runtime uses them itself",
}

// TestPeers shows that the behaviours are what the programs do which ours stands
// in for, and that their known differences are still there.
func TestPeers(t *testing.T) {
	hosttest.NeedsRoot(t)
	for _, dialect := range peers {
		path, err := exec.LookPath(dialect)
		hosttest.Needs(t, dialect, err == nil, "apt-get install "+dialect)
		t.Run(dialect, func(t *testing.T) {
			for _, b := range behaviours() {
				if !slices.Contains(b.in, dialect) {
					continue
				}
				t.Run(b.name, func(t *testing.T) {
					t.Parallel()
					why, differs := b.differs[dialect]
					err := b.judge(t, initProgram{name: dialect, path: path, mutant: differs}, dialect)
					switch {
					case err != nil && !differs:
						t.Error(err)
					case err == nil && differs:
						t.Errorf("it is listed as different (%s), but is not", why)
					}
				})
			}
		})
	}
}

// TestMutants breaks our init in one way after the other: each behaviour must
// fail on the mutants that it names, and each must name one.
func TestMutants(t *testing.T) {
	hosttest.NeedsRoot(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("the mutants of the assembly are amd64's")
	}
	fail := map[string][]behaviour{} // on each mutant
	for _, b := range behaviours() {
		if len(b.broken) == 0 {
			t.Errorf("%s names no mutant", b.name)
		}
		for _, name := range b.broken {
			fail[name] = append(fail[name], b)
		}
	}
	for name := range fail {
		if _, ok := mutants[name]; !ok {
			t.Errorf("no mutant %s", name)
		}
	}
	for name, m := range mutants {
		if len(fail[name]) == 0 {
			t.Errorf("no behaviour fails on mutant %s", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := initProgram{name: name, path: m.build(t, name), mutant: true}
			for _, b := range fail[name] {
				t.Run(b.name, func(t *testing.T) {
					t.Parallel()
					if !slices.ContainsFunc(b.in, func(dialect string) bool { return b.judge(t, p, dialect) != nil }) {
						t.Errorf("it passes")
					}
				})
			}
		})
	}
}
