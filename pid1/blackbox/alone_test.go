package blackbox

import (
	"testing"

	"sexton.dev/internal/hosttest"
)

// notAlone are the behaviours that an init cannot have which cannot run Go
// children any more, and why. Those of draining() are left out as a whole:
// stopping, hooks and ticks are what Go children do.
var notAlone = map[string]string{
	"stops at TSTP and goes on at CONT": "a Go child suspends the init",
}

// withoutGo is a behaviour whose main child begins by making the init's binary
// one that nobody can execute; why not, if it cannot be so.
func withoutGo(b behaviour, dialect string) (alone behaviour, why string) {
	switch {
	case notAlone[b.name] != "":
		return b, notAlone[b.name]
	case b.sh == "" || b.around != "":
		return b, "its main child is no shell that could do it"
	case b.with.ReadOnly || b.with.UID != 0 || b.with.Root != "":
		return b, "its main child may not do it"
	}
	b.sh = "chmod 0 $DIR/" + dialect + "; " + b.sh
	return b, ""
}

// TestAlone holds our init to what it can do without Go children, with its entry
// and as the Go loop: reaping, forwarding and exit codes.
func TestAlone(t *testing.T) {
	hosttest.NeedsRoot(t)
	var table []behaviour
	table = append(append(append(table, exits()...), signals()...), surroundings()...)
	for _, form := range []struct{ name, flags string }{{"entry", entryFlag()}, {"loop", ""}} {
		p := initProgram{name: form.name, path: build(t, own, form.flags, "")}
		t.Run(form.name, func(t *testing.T) {
			for _, b := range table {
				for _, dialect := range b.in {
					if dialect == myInit { // a Go child runs at each of its ends
						continue
					}
					t.Run(b.name+"/"+dialect, func(t *testing.T) {
						t.Parallel()
						alone, why := withoutGo(b, dialect)
						if form.name == "loop" && why == "" {
							why = notInLoop[b.name]
						}
						if why != "" {
							t.Logf("left out: %s", why)
							return
						}
						if err := alone.judge(t, p, dialect); err != nil {
							t.Error(err)
						}
					})
				}
			}
			t.Run("no Go child runs", func(t *testing.T) {
				t.Parallel()
				for _, b := range draining() {
					if b.name != "and when the main child ends by itself" {
						continue
					}
					alone, _ := withoutGo(b, own)
					if alone.judge(t, p, own) == nil {
						t.Error("it drains: the rest of this test shows nothing")
					}
				}
			})
		})
	}
}
