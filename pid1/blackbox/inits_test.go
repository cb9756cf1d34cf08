package blackbox

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
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
		p := initProgram{form.name, build(t, own, form.flags, "")}
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
	"is light at rest":              "the Go runtime stays",
	"ignored signals stay ignored":  "the runtime installs handlers over all but HUP and INT before it can be asked",
	"CHLD ignored at the beginning": "as above",
	"blocked signals stay blocked":  "the runtime unblocks some",
	"URG and PROF are forwarded":    "the runtime uses them itself",
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
					err := b.judge(t, initProgram{dialect, path}, dialect)
					why, differs := b.differs[dialect]
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
	var once sync.Mutex
	built := map[string]string{}
	binary := func(name string) string {
		once.Lock()
		defer once.Unlock()
		if built[name] == "" {
			m, ok := mutants[name]
			if !ok {
				t.Fatalf("no mutant %s", name)
			}
			built[name] = m.build(t, name)
		}
		return built[name]
	}
	used := map[string]bool{}
	for _, b := range behaviours() {
		if len(b.broken) == 0 {
			t.Errorf("%s names no mutant", b.name)
		}
		for _, name := range b.broken {
			used[name] = true
			path := binary(name)
			t.Run(strings.ReplaceAll(b.name, "/", "_")+"/"+name, func(t *testing.T) {
				t.Parallel()
				for _, dialect := range b.in {
					if b.judge(t, initProgram{name, path}, dialect) != nil {
						return
					}
				}
				t.Errorf("it passes")
			})
		}
	}
	for name := range mutants {
		if !used[name] {
			t.Errorf("no behaviour fails on mutant %s", name)
		}
	}
}
