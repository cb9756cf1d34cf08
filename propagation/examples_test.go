package propagation_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/propagation"
)

var update = flag.Bool("update", false, "rewrite what the examples give; read the diff")

// An example is one entry of testdata/examples.txt: a title, "steps || call", and what that gives.
type example struct {
	title, steps, call, want string
}

func readExamples(t testing.TB) []example {
	t.Helper()
	text, err := os.ReadFile("testdata/examples.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []example
	for part := range strings.SplitSeq(string(text), "\n# ") {
		title, rest, _ := strings.Cut(strings.TrimPrefix(part, "# "), "\n")
		line, want, _ := strings.Cut(rest, "\n")
		steps, call, ok := strings.Cut(line, "||")
		if !ok {
			t.Fatalf("example %q has no ||", title)
		}
		out = append(out, example{title, strings.TrimSpace(steps), strings.TrimSpace(call), strings.TrimRight(want, "\n")})
	}
	return out
}

// The examples were made true on Linux 6.18 and 6.1; TestKernelExamples does so on this kernel, and
// on 6.1 by make test-vm.
func TestExamples(t *testing.T) {
	var updated bytes.Buffer
	for _, x := range readExamples(t) {
		t.Run(x.title, func(t *testing.T) {
			got := runExample(t, x, false)
			if old := runExample(t, x, true); old != got {
				got += "\nbefore 6.17\n" + old
			}
			fmt.Fprintf(&updated, "\n# %s\n%s || %s\n%s\n", x.title, x.steps, x.call, got)
			if diff := cmp.Diff(x.want, got); diff != "" && !*update {
				t.Errorf("%s || %s (-want +got)\n%s", x.steps, x.call, diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile("testdata/examples.txt", updated.Bytes()[1:], 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func runExample(t *testing.T, x example, old bool) string {
	t.Helper()
	steps, err := parseSteps(x.steps)
	call, err2 := parseSteps(x.call)
	if err != nil || err2 != nil || len(call) != 1 {
		t.Fatal(err, err2)
	}
	w := newSim(old)
	for _, s := range steps {
		if e := w.do(s); e.Errno != 0 {
			t.Fatalf("%s: errno %d, %+v", s, e.Errno, e.Refused)
		}
	}
	before := world{slices.Clone(w.mounts), w.spaces, w.names, w.held}
	return tell(&before, w.do(call[0]))
}

// tell writes an effect as the examples have it.
func tell(w *world, e propagation.Effect) string {
	p := printer{w: w, groups: map[uint64]int{}, byID: map[uint64]propagation.Mount{}}
	var lines []string
	line := func(head string, parts []string) {
		if len(parts) > 0 {
			lines = append(lines, fmt.Sprintf("%-8s %s", head, strings.Join(parts, ", ")))
		}
	}
	slices.SortFunc(w.mounts, func(a, b propagation.Mount) int { return int(a.ID) - int(b.ID) })
	var before, gone, stays, changed, made []string
	for _, m := range append(slices.Clone(w.mounts), e.Made...) {
		p.byID[m.ID] = m
	}
	for _, m := range w.mounts {
		if strings.HasPrefix(m.Point, "/x") {
			before = append(before, p.mount(m))
		}
	}
	for _, f := range e.Fates {
		if f.Goes {
			gone = append(gone, p.fate(f))
		} else {
			stays = append(stays, p.fate(f))
		}
	}
	for _, c := range e.Changed {
		changed = append(changed, p.mount(c.Before)+" => "+p.mount(c.After)+p.slid(c))
	}
	for _, m := range e.Made {
		if covered := p.covered(m, e); strings.HasPrefix(m.Point, "/x") {
			made = append(made, p.mount(m)+covered)
		}
	}
	line("before", before)
	if e.Errno != 0 {
		line("errno", []string{fmt.Sprintf("%d: %s", e.Errno, p.fate(e.Refused))})
	}
	line("gone", gone)
	line("stays", stays)
	line("changed", changed)
	line("made", made)
	return strings.Join(lines, "\n")
}

// A printer numbers groups as it meets them.
type printer struct {
	w      *world
	groups map[uint64]int
	byID   map[uint64]propagation.Mount
}

func (p printer) group(g uint64) int {
	if p.groups[g] == 0 {
		p.groups[g] = len(p.groups) + 1
	}
	return p.groups[g]
}

func (p printer) where(id uint64) string {
	m := p.byID[id]
	return p.w.name(m.Namespace) + ":" + short(m.Point)
}

func (p printer) mount(m propagation.Mount) string {
	out := p.w.name(m.Namespace) + ":" + short(m.Point)
	if m.Peer != 0 {
		out += fmt.Sprintf(" s%d", p.group(m.Peer))
	}
	if m.Master != 0 {
		out += fmt.Sprintf(" m%d", p.group(m.Master))
	}
	if m.Locked {
		out += " L"
	}
	if m.Unbindable {
		out += " U"
	}
	return out
}

// fate is the mount, the reason and the mount that decides.
func (p printer) fate(f propagation.Fate) string {
	out := p.where(f.Mount) + " " + string(f.Why)
	if f.By != 0 {
		out += " " + p.where(f.By)
	}
	return out
}

// slid says what a mount sits on now, if that is another mount.
func (p printer) slid(c propagation.Change) string {
	if c.Before.Parent == c.After.Parent {
		return ""
	}
	return fmt.Sprintf(" (on %s)", p.where(c.After.Parent))
}

// covered says whether a mount that exists already is now on top of a new one.
func (p printer) covered(m propagation.Mount, e propagation.Effect) string {
	for _, c := range e.Changed {
		if c.After.Parent == m.ID && c.After.Point == m.Point {
			return " (covered)"
		}
	}
	return ""
}
