// Package hosttest says what a test needs of the machine, and skips, loudly, where it is missing.
package hosttest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Needs skips the test unless ok. A need listed in SEXTON_MUST_RUN (comma
// separated, or "all") fails it instead, so that a job made for these tests
// cannot pass by skipping them.
func Needs(t testing.TB, need string, ok bool, how string) {
	t.Helper()
	if ok {
		return
	}
	must := strings.Split(os.Getenv("SEXTON_MUST_RUN"), ",")
	if slices.Contains(must, need) || slices.Contains(must, "all") {
		t.Fatalf("needs %s, and SEXTON_MUST_RUN asks for it: %s", need, how)
	}
	t.Skipf("needs %s: %s", need, how)
}

// NeedsRoot is [Needs] for uid 0.
func NeedsRoot(t testing.TB) {
	t.Helper()
	Needs(t, "root", os.Getuid() == 0, "run go test -exec sudo")
}

// Until polls ok every 20 ms and fails the test if it is not true by the deadline.
func Until(t testing.TB, deadline time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Trials is how many of a long trial are run: a slice, of which SEXTON_TRIALS are
// enough on a slow machine, or all with SEXTON_VERIFY=full. SEXTON_SEED repeats a
// run. It is for root.
func Trials(t testing.TB, slice, full int) (n int, r *rand.Rand) {
	t.Helper()
	NeedsRoot(t)
	n = int(min(uint64(slice), Number(t, "SEXTON_TRIALS", uint64(slice))))
	if os.Getenv("SEXTON_VERIFY") == "full" {
		n = full
	}
	seed := Number(t, "SEXTON_SEED", uint64(time.Now().UnixNano()))
	t.Logf("%d of %d trials, SEXTON_SEED=%d", n, full, seed)
	return n, rand.New(rand.NewPCG(seed, 1))
}

// Number is what a variable of the environment says, if it is set.
func Number(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
