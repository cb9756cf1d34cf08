package propagation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// An order says which trials the process of the trials makes.
type order struct {
	Kind, Flavour string
	N             int
	Seed          uint64
	Trials        []string // instead: these, each "steps || call"
	Classic       bool     // read mountinfo, whatever the kernel has
}

// A report is its answer.
type report struct {
	Exact   int
	Skipped map[string]int
	Counts  map[string]int
	Misses  []string
}

const orderVariable = "SEXTON_PROPAGATION_ORDER"

// TestMain makes this program, in namespaces of its own, the one that makes the trials.
func TestMain(m *testing.M) {
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = obey(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ask starts the process of the trials: PID 1 of a PID namespace, so that whatever it leaves ends with it.
func ask(t *testing.T, o order) (r report) {
	t.Helper()
	hosttest.Apart(t, orderVariable, o, 3*time.Minute+time.Duration(o.N)*20*time.Millisecond, &r)
	return r
}

// obey makes the trials and prints the report.
func obey(o order) error {
	h, err := newHost()
	if err != nil {
		return err
	}
	h.classic = h.classic || o.Classic
	if err := h.learn(); err != nil {
		return err
	}
	r := report{Skipped: map[string]int{}, Counts: map[string]int{}}
	take := func(tr trial, res result, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", tr, err)
		}
		r.take(h, tr, res)
		return nil
	}
	h.guess = len(o.Trials) > 0 // their topologies are simple enough for that
	for _, text := range o.Trials {
		tr, err := parseTrial(text)
		if err != nil {
			return err
		}
		res, err := h.run(tr, nil)
		if len(res.refused) > 0 {
			return fmt.Errorf("%s: refused: %v", text, res.refused)
		}
		if err := take(tr, res, err); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	for range o.N {
		k := kinds[o.Kind]
		g := k.draw(random, o.Flavour)
		tr := trial{flavour: o.Flavour, setup: slices.Clone(g.steps)}
		res, err := h.run(tr, func(w *world) []step { return k.choose(h, g, w) })
		if err := take(tr, res, err); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func parseTrial(text string) (tr trial, err error) {
	setup, calls, _ := strings.Cut(text, "||")
	if tr.setup, err = parseSteps(setup); err != nil {
		return tr, err
	}
	tr.calls, err = parseSteps(calls)
	return tr, err
}

// take adds a result. The first few misses are shrunk and told.
func (r *report) take(h *host, tr trial, res result) {
	for what, n := range res.counts {
		r.Counts[what] += n
	}
	switch {
	case res.skipped != "":
		r.Skipped[res.skipped]++
	case len(res.diff) == 0:
		r.Exact++
	case len(r.Misses) > 3:
		r.Misses = append(r.Misses, "another")
	default:
		tr, res = h.shrink(tr, res)
		r.Misses = append(r.Misses, tr.String()+"\n  "+strings.Join(res.diff, "\n  "))
	}
}

// learn finds out what kind of kernel this is.
func (h *host) learn() error {
	w, err := h.topology("A tmpfs p; A tmpfs p/v; B=A; B private p/v; B tmpfs p/v; A umount-l p")
	if err != nil {
		return err
	}
	left := 0 // in B: the copy of p and the overmount, or that alone
	for _, m := range w.mounts {
		if w.name(m.Namespace) == "B" && strings.HasPrefix(m.Point, "/x/p") {
			left++
		}
	}
	h.old = left == 1
	if w, err = h.topology("A tmpfs p; A unbindable p; B=A"); err != nil {
		return err
	}
	for _, m := range w.mounts {
		h.keeps = h.keeps || w.name(m.Namespace) == "B" && m.Unbindable
	}
	return nil
}

// topology makes a topology and reads it.
func (h *host) topology(text string) (*world, error) {
	tr, err := parseTrial(text)
	if err != nil {
		return nil, err
	}
	defer h.end()
	if refused, err := h.build(tr.setup); err != nil || len(refused) > 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: refused: %v", text, refused))
	}
	return h.read()
}

// The examples come true on this kernel, by whichever tables.
func TestKernelExamples(t *testing.T) {
	var all []string
	for _, x := range readExamples(t) {
		all = append(all, x.steps+" || "+x.call)
	}
	for name, classic := range map[string]bool{"the best reader": false, "mountinfo": true} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, order{Trials: all, Classic: classic})
			for _, miss := range r.Misses {
				t.Error(miss)
			}
			if r.Exact != len(all) {
				t.Errorf("%d of %d are exact; skipped: %v", r.Exact, len(all), r.Skipped)
			}
		})
	}
}

// TestKernelTrials makes random topologies, predicts a call, makes it and compares everything: the
// errno, which mounts there are, where, in which groups, unbindable, locked. A slice of them, or
// with SEXTON_VERIFY=full many; SEXTON_TRIALS says how many of a kind and flavour; SEXTON_SEED
// repeats a run.
func TestKernelTrials(t *testing.T) {
	n := 100
	seed := uint64(1)
	if os.Getenv("SEXTON_VERIFY") == "full" {
		n, seed = 2000, uint64(time.Now().UnixNano())
	}
	n = int(hosttest.Number(t, "SEXTON_TRIALS", uint64(n)))
	seed = hosttest.Number(t, "SEXTON_SEED", seed)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) {
			exact := 0
			for i, flavour := range flavours {
				r := ask(t, order{Kind: kind, Flavour: flavour, N: n, Seed: seed + uint64(i)})
				exact += r.Exact
				t.Logf("%s: %d exact, %d missed; skipped %v; %v", flavour, r.Exact, len(r.Misses), r.Skipped, r.Counts)
				for _, miss := range r.Misses {
					t.Error(miss)
				}
			}
			t.Logf("%d of %d trials are exact, SEXTON_SEED=%d", exact, n*len(flavours), seed)
			if exact < n*len(flavours)/4 {
				t.Error("too few trials could be made")
			}
		})
	}
}
