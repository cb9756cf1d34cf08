// Package harm_test holds heal to the kernel: it makes random small hosts for
// real, lets heal carry out its plans there and reads all mounts again. What goes
// must be what the plan said, and nothing that anybody uses.
package harm_test

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/collect"
	"sexton.dev/heal"
	"sexton.dev/internal/hosttest"
)

// An order says which trials a process makes.
type order struct {
	Kind string
	N    int
	Seed uint64
}

// A report is its answer.
type report struct {
	Counts map[string]int
	Misses []string
}

const orderVariable, insideVariable = "SEXTON_HARM_ORDER", "SEXTON_HARM_INSIDE"

func init() { runtime.LockOSThread() } // the first goroutine stays on the first thread, which is the process to others

// TestMain makes this program, in namespaces of its own, the host of the trials.
func TestMain(m *testing.M) {
	switch text := os.Getenv(orderVariable); {
	case collect.IsChild(os.Args[1:]):
		os.Exit(collect.ChildMain(os.Args[1:], os.Stdout, os.Stderr))
	case heal.IsChild(os.Args[1:]):
		os.Exit(heal.ChildMain(os.Stdin, os.Stdout, os.Stderr))
	case text == "":
		os.Exit(m.Run())
	default:
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// serve makes the trials of an order: first a root of its own, with all threads in it.
func serve(text string) error {
	if os.Getenv(insideVariable) == "" {
		if err := newRoot(); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", []string{"sexton"}, append(os.Environ(), insideVariable+"=1"))
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	h, err := newHost()
	if err != nil {
		return err
	}
	if os.Getenv(healerVariable) != "" {
		return healing(h)
	}
	r := report{Counts: map[string]int{}}
	if err := kinds[o.Kind](h, o, &r); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// kinds are the trials.
var kinds = map[string]func(*host, order, *report) error{"mounts": mountTrials, "churn": churnTrials, "crash": crashTrials}

// ask starts the process of the trials: PID 1 of a PID namespace, so that whatever
// it leaves ends with it.
func ask(t *testing.T, o order, within time.Duration) (r report) {
	t.Helper()
	hosttest.Apart(t, orderVariable, o, within, &r)
	return r
}

// tell logs what was counted, and fails for what was missed.
func (r report) tell(t *testing.T) {
	t.Helper()
	var lines []string
	for what, n := range r.Counts {
		lines = append(lines, fmt.Sprintf("%7d %s", n, what))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[8:], b[8:]) })
	t.Logf("\n%s", strings.Join(lines, "\n"))
	for _, miss := range r.Misses {
		t.Error(miss)
	}
}
