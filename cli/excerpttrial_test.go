package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
	"sexton.dev/linux/mounts"
	"sexton.dev/propagation"
)

// An excerptOrder says which trials a process of TestExcerptTrials makes.
type excerptOrder struct {
	N    int
	Seed uint64
}

// An excerptReport is its answer.
type excerptReport struct {
	Topologies, Hidden, Unmounts int // Hidden: left out, since something on a "/" hides mounts
	Counts                       map[string]int
	Misses                       []string // a few of each cutting; all are counted
}

const excerptVariable = "SEXTON_EXCERPT_ORDER"

// What is said of excerpts is true of the host that they are of: on hosts made at
// random, whatever of their tables is posted. With all of them nothing is unknown.
// A slice of the trials, or with SEXTON_VERIFY=full many.
func TestExcerptTrials(t *testing.T) {
	n, r := hosttest.Trials(t, 60, 6000)
	var got excerptReport
	hosttest.Apart(t, excerptVariable, excerptOrder{n, r.Uint64()}, time.Minute+time.Duration(n)*100*time.Millisecond, &got)
	t.Logf("%d topologies, %d left out; %d unmounts made", got.Topologies, got.Hidden, got.Unmounts)
	for _, what := range slices.Sorted(maps.Keys(got.Counts)) {
		t.Logf("%6d %s", got.Counts[what], what)
	}
	for _, miss := range got.Misses {
		t.Error(miss)
	}
	if got.Unmounts == 0 || tooFew(got.Unmounts, n, 1./4) {
		t.Error("too few unmounts could be made")
	}
}

// tooFew reports whether fewer of n random trials came to something than a share that
// most runs have, with room for chance: three standard deviations.
func tooFew(came, n int, share float64) bool {
	all := float64(n)
	return float64(came) < all*share-3*math.Sqrt(all*share*(1-share))
}

// excerptTrials makes the trials and prints the report.
func excerptTrials(order string, out io.Writer) error {
	var o excerptOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return err
	}
	runtime.LockOSThread()
	w, err := newExcerptWorld()
	if err != nil {
		return err
	}
	report := excerptReport{Counts: map[string]int{}}
	for n := range uint64(o.N) {
		r := rand.New(rand.NewPCG(o.Seed, n))
		if err := report.trial(w, r, fmt.Sprintf("trial %d of seed %d", n, o.Seed)); err != nil {
			return fmt.Errorf("trial %d of seed %d: %w", n, o.Seed, err)
		}
	}
	return json.NewEncoder(out).Encode(report)
}

func (r *excerptReport) trial(w *excerptWorld, random *rand.Rand, name string) error {
	defer w.end()
	if err := w.build(random); err != nil {
		return err
	}
	whole, err := w.read()
	if err != nil {
		return err
	}
	r.Topologies++
	word := w.word()
	if !whole || word == "" {
		r.Hidden++
		return nil
	}
	target := w.named(word)
	lazy := random.IntN(2) == 0
	for _, c := range cuttings {
		a := &excerptAnswer{w: w, c: c, word: word, lazy: lazy, pastes: w.cut(c, word, target), report: r, name: name}
		if err := a.ask(); err != nil {
			return err
		}
		if a.judge(); c.name == "whole" {
			defer a.unmount()
		}
	}
	return nil
}

// named is a mount that a word names.
func (w *excerptWorld) named(word string) mounts.Mount {
	for _, s := range w.spaces {
		for _, m := range s.mounts {
			if m.MountPoint == strings.TrimSuffix(word, "/") || fmt.Sprint(m.ID) == word || fmt.Sprintf("%d:%d", m.Major, m.Minor) == word {
				return m
			}
		}
	}
	return mounts.Mount{}
}

// An excerptAnswer is what the command says of excerpts.
type excerptAnswer struct {
	w      *excerptWorld
	c      cutting
	word   string
	lazy   bool
	pastes []paste
	report *excerptReport
	name   string

	targets    [][]pasteLine // of each paste
	Namespaces []struct {
		Name, Propagation string
		Shared, Master    int
	}
	Chain    []struct{ Namespace, Path, Root, Propagation string }
	Verdicts []excerptVerdict
}

type excerptVerdict struct {
	From, To, Verdict, Why string
	Likely                 bool
}

func (a *excerptAnswer) ask() error {
	if len(a.pastes) == 0 {
		return nil
	}
	args := []string{"propagation", a.word, "-o", "json", "--kernel", "6.17"}
	if a.lazy {
		args = append(args, "--detach")
	}
	for _, p := range a.pastes {
		file := "/" + p.name
		if err := os.WriteFile(file, []byte(p.text()), 0o600); err != nil {
			return err
		}
		args = append(args, "--mountinfo", p.name+"="+file)
	}
	a.targets = targetsOf(a.word, a.pastes)
	text, err := printed(args)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, a)
}

func (a *excerptAnswer) miss(format string, args ...any) {
	a.report.Counts["miss: "+a.c.name]++
	if a.report.Counts["miss: "+a.c.name] > 3 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s of %s, lazy %v: ", a.name, a.c.name, a.word, a.lazy)
	fmt.Fprintf(&b, format, args...)
	for _, p := range a.pastes {
		fmt.Fprintf(&b, "\n-- %s\n%s", p.name, p.text())
	}
	for _, s := range a.w.spaces {
		fmt.Fprintf(&b, "\n== %s\n%s\n", s.name, strings.Join(s.lines, "\n"))
	}
	a.report.Misses = append(a.report.Misses, b.String())
}

func (a *excerptAnswer) judge() {
	all, spaces := a.w.table()
	truth, _ := propagation.New(without(all, a.pastes, a.targets), spaces)
	for i := range a.Namespaces {
		a.judgeTags(i)
	}
	for _, v := range a.Verdicts {
		is := a.truth(truth, v)
		count := a.c.name + ": " + v.Verdict
		if v.Likely {
			count = "likely, " + map[bool]string{true: "right: ", false: "wrong: "}[slices.Contains(is, v.Verdict)] + v.Verdict
		}
		if v.Verdict == "unknown" && a.c.all {
			count += ": " + shape(v)
			if len(a.targets[a.index(v.From)]) > 0 && len(a.targets[a.index(v.To)]) > 0 {
				a.miss("%s to %s is unknown of whole tables: %s", v.From, v.To, v.Why)
			}
		}
		a.report.Counts[count]++
		if v.Verdict != "unknown" && !v.Likely && !slices.Contains(is, v.Verdict) {
			a.miss("%s to %s %s, but it %q: %s", v.From, v.To, v.Verdict, is, v.Why)
		}
	}
}

// shape is the reason of a verdict without its names.
func shape(v excerptVerdict) string {
	var out []string
	for word := range strings.FieldsSeq(v.Why) {
		if !strings.HasPrefix(word, "/") && strings.Trim(word, "0123456789,:;") != "" && word != v.To && word != v.From {
			out = append(out, strings.TrimRight(word, "0123456789,:;"))
		}
	}
	return strings.Join(out, " ")
}

// index finds a paste by name.
func (a *excerptAnswer) index(name string) int {
	return slices.IndexFunc(a.pastes, func(p paste) bool { return p.name == name })
}

// judgeTags compares what is said of the target in one namespace with the lines.
func (a *excerptAnswer) judgeTags(i int) {
	n, targets := a.Namespaces[i], a.targets[i]
	switch n.Propagation {
	case "unknown":
		if a.c.all && len(targets) > 0 {
			a.miss("%s: unknown", n.Name)
		}
	case "absent":
		if len(targets) > 0 || a.pastes[i].loose(a.word) {
			a.miss("%s: absent", n.Name)
		}
		if a.left(i) {
			a.report.Counts["absent, and nothing shows that its line was left out"]++
		}
	default:
		if !slices.ContainsFunc(targets, func(l pasteLine) bool { return l.tagged && l.Shared == n.Shared && l.Master == n.Master }) {
			a.miss("%s: %+v of %+v", n.Name, n, targets)
		}
	}
}

// left says that the excerpt of a namespace lacks a mount at the target's path.
func (a *excerptAnswer) left(i int) bool {
	return slices.ContainsFunc(a.w.spaces[a.pastes[i].space].mounts, func(m mounts.Mount) bool { return m.MountPoint == strings.TrimSuffix(a.word, "/") })
}

// truth is what an unmount does, of each mount that may be the one that is meant.
func (a *excerptAnswer) truth(t *propagation.Table, v excerptVerdict) (is []string) {
	from, to := a.index(v.From), a.index(v.To)
	for _, l := range a.targets[from] {
		if !a.chosen(v.From, l) {
			continue
		}
		e := t.Unmount(propagation.Call{Mount: uint64(l.ID), Namespace: uint64(a.pastes[from].space) + 1, Lazy: a.lazy}).New
		gone := map[uint64]bool{}
		for _, m := range e.Gone() {
			gone[m] = e.Errno == 0
		}
		one := "goes"
		for _, c := range a.targets[to] {
			if !gone[uint64(c.ID)] {
				one = "stays"
			}
		}
		if len(a.targets[to]) > 0 {
			is = append(is, one)
		}
	}
	return is
}

// chosen says that a mount looks like the one whose chain is told.
func (a *excerptAnswer) chosen(name string, l pasteLine) bool {
	for _, c := range a.Chain {
		if c.Namespace == name {
			return c.Path == l.MountPoint && (c.Root == l.Root || !l.numbered)
		}
	}
	return true
}

// unmount makes one of the unmounts, where the path leads to the target, and compares.
func (a *excerptAnswer) unmount() {
	w, from := a.w, a.w.IntN(len(a.pastes))
	path := strings.TrimSuffix(a.word, "/")
	if !strings.HasPrefix(path, "/") {
		return
	}
	w.enter(w.spaces[from].fd)
	defer w.enter(w.home)
	id := mountOf(path)
	if !slices.ContainsFunc(a.targets[from], func(l pasteLine) bool { return l.ID == id && l.MountPoint == path }) {
		return
	}
	all, spaces := w.table()
	t, _ := propagation.New(all, spaces)
	if t.Unmount(propagation.Call{Mount: uint64(id), Namespace: uint64(from) + 1, Lazy: a.lazy}).Differ {
		return // this kernel may have the other rule
	}
	flags := unix.UMOUNT_NOFOLLOW
	if a.lazy {
		flags |= unix.MNT_DETACH
	}
	failed := unix.Unmount(path, flags) != nil
	a.report.Unmounts++
	for _, v := range a.Verdicts {
		to := a.index(v.To)
		if v.From != w.spaces[from].name || len(a.targets[to]) == 0 {
			continue
		}
		is := "goes"
		s := w.spaces[to]
		if err := w.readSpace(&s); err != nil {
			panic(err)
		}
		for _, c := range a.targets[to] {
			if failed || slices.ContainsFunc(s.mounts, func(m mounts.Mount) bool { return m.ID == c.ID }) {
				is = "stays"
			}
		}
		if v.Verdict != is && !v.Likely {
			a.miss("%s to %s %s, but it %s on the kernel: %s", v.From, v.To, v.Verdict, is, v.Why)
		}
	}
}

// mountOf is the mount that a path leads to.
func mountOf(path string) int {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st); err != nil {
		return 0
	}
	return int(st.Mnt_id)
}
