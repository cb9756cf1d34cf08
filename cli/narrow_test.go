package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sexton.dev/cli"
	"sexton.dev/internal/hosttest"
)

// A narrowOrder says which trials a process of TestNarrow makes.
type narrowOrder struct {
	N        int
	Seed     uint64
	Filtered bool // listmount is forbidden, so that mountinfo is read
}

// A narrowReport is its answer.
type narrowReport struct {
	Questions, Answered int // answered: with a holder or a mount
	Way                 string
	Misses              []string
}

const narrowVariable = "SEXTON_NARROW_ORDER"

// A question about paths, ids and superblocks, for which few mounts are kept, has the
// answers of one that asks for a name as well, for which all are: on small hosts that
// are made at random, whichever way their mounts are read.
func TestNarrow(t *testing.T) {
	n, r := hosttest.Trials(t, 8, 300)
	for _, filtered := range []bool{false, true} {
		var got narrowReport
		hosttest.Apart(t, narrowVariable, narrowOrder{n, r.Uint64(), filtered}, 5*time.Minute+time.Duration(n)*10*time.Second, &got)
		t.Logf("%s: %d of %d questions had an answer", got.Way, got.Answered, got.Questions)
		for _, miss := range got.Misses {
			t.Error(miss)
		}
		if got.Answered == 0 || tooFew(got.Answered, got.Questions, 1./3) {
			t.Error("too few questions had an answer")
		}
		if filtered && got.Way != "mountinfo" {
			t.Errorf("the mounts were read by %s", got.Way)
		}
	}
}

// narrowTrials makes the trials and prints the report.
func narrowTrials(order string, out io.Writer) error {
	var o narrowOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return err
	}
	os.Unsetenv(narrowVariable) // of the children that sexton makes of this program
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	if o.Filtered {
		if err := forbid(unix.SYS_LISTMOUNT); err != nil {
			return err
		}
	}
	var report narrowReport
	for seed := range uint64(o.N) {
		if err := narrowTrial(rand.New(rand.NewPCG(o.Seed, seed)), &report); err != nil {
			return fmt.Errorf("trial %d of seed %d: %w", seed, o.Seed, err)
		}
	}
	return json.NewEncoder(out).Encode(report)
}

func narrowTrial(r *rand.Rand, report *narrowReport) error {
	h, err := newRandomHost(r)
	if err != nil {
		return err
	}
	defer h.end()
	for range 8 + r.IntN(12) {
		h.step()
	}
	words := h.words()
	flags := []string{"holders", "-o", "jsonl"}
	if r.IntN(2) == 0 {
		flags = append(flags, "--nested")
	}
	for len(words) > 0 {
		n := min(1+r.IntN(3), len(words))
		if err := narrowQuestion(append(slices.Clone(flags), words[:n]...), words[:n], h, report); err != nil {
			return err
		}
		words = words[n:]
	}
	return nil
}

// narrowQuestion asks both ways, and again where they differ: other tests have loop devices
// and swap files, which no namespace hides, and they come and go.
func narrowQuestion(ask, words []string, h *randomHost, report *narrowReport) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		narrow, err := answers(ask)
		if err != nil {
			return err
		}
		wide, err := answers(append(ask, "a-name-of-nothing"))
		if err != nil {
			return err
		}
		misses := narrowMisses(narrow, wide, report)
		if len(misses) > 0 && time.Now().Before(end) {
			continue
		}
		for _, miss := range misses {
			report.Misses = append(report.Misses, fmt.Sprintf("of %q, of all mounts (-), of few (+)\n%s\n%s", words, miss, strings.Join(h.log, "\n")))
		}
		report.Questions += len(narrow)
		for _, answer := range narrow {
			if lists(answer, "holders", "mounts") {
				report.Answered++
			}
		}
		return nil
	}
}

// narrowMisses are the differences of the answers to the same words.
func narrowMisses(narrow, wide []map[string]any, report *narrowReport) (misses []string) {
	for k := range narrow {
		report.Way, _ = narrow[k]["looked"].(map[string]any)["way"].(string)
		delete(narrow[k], "looked")
		delete(wide[k], "looked")
		if diff := cmp.Diff(wide[k], narrow[k]); diff != "" {
			misses = append(misses, diff)
		}
	}
	return misses
}

func lists(answer map[string]any, keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { list, _ := answer[key].([]any); return len(list) > 0 })
}

// printed runs a command in this process.
func printed(args []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	code := cli.Main(context.Background(), cli.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}, args)
	if code != cli.Clean && code != cli.Findings && code != cli.CantTell {
		return nil, fmt.Errorf("%q ended with %d: %s", args, code, stderr.String())
	}
	return stdout.Bytes(), nil
}

// answers are the objects that a command prints, one a line.
func answers(args []string) (out []map[string]any, err error) {
	text, err := printed(args)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var a map[string]any
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		out = append(out, a)
	}
	return out, nil
}

// forbid makes a system call fail in all threads of this process, and in its children.
func forbid(call uint32) error {
	const setFilter, allThreads = 1, 1      // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
	const deny, allow = 0x50000, 0x7fff0000 // SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: deny | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
