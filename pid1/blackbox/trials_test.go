package blackbox

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sexton.dev/internal/hosttest"
)

// begin starts our init with a main child and waits until the init is executed.
func begin(t *testing.T, binary string, flags []string, command ...string) *run {
	t.Helper()
	dir := t.TempDir()
	l := launch{Argv: append(append([]string{binary}, flags...), append([]string{"--"}, command...)...), Dir: dir, Env: []string{path, "DIR=" + dir}, Tell: true}
	r, err := start(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.told); err != nil { // its other end is closed at exec
		t.Fatal(err)
	}
	return r
}

// TestTermAtStart sends TERM at a random moment in the 3 ms after the init was
// executed: it must reach the main child, however early it comes.
func TestTermAtStart(t *testing.T) {
	n, random := hosttest.Trials(t, 150, 2000)
	binary := build(t, own, entryFlag(), "")
	early := 0
	defer func() { t.Logf("%d had not run their first instruction yet", early) }()
	for i := range n {
		r := begin(t, binary, nil, "/bin/sleep", "100")
		wait := time.Duration(random.IntN(3000)) * time.Microsecond
		for began := time.Now(); time.Since(began) < wait; {
		}
		if !begun(r.pid()) { // executed, but not run yet: the kernel drops what comes for a process 1 without handlers
			early++
			r.cmd.Process.Kill()
			continue
		}
		if err := r.signal(15); err != nil {
			t.Fatal(err)
		}
		select {
		case <-r.done:
		case <-time.After(limit):
			t.Fatalf("start %d: TERM after %v is lost", i, wait)
		}
		if code, err := r.code(); err != nil || code != 143 {
			t.Fatalf("start %d: TERM after %v: code %d, %v; output:\n%s", i, wait, code, err, r.output())
		}
	}
}

// begun reports whether a process has run its first instructions: it blocks
// signals, or it waits for some or for a child.
func begun(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	status := string(text)
	return !strings.Contains(status, "SigBlk:\t0000000000000000") || strings.Contains(status, "State:\tS")
}

// counter is a main child that writes each signal's number. Its handler in C puts
// that into a pipe, so none is lost between two instructions of the interpreter.
const counter = `import os, signal
r, w = os.pipe()
os.set_blocking(w, False)
signal.set_wakeup_fd(w)
for s in range(1, 65):
    if s not in (9, 17, 18, 19, 20, 21, 22, 32, 33):
        signal.signal(s, lambda *_: None)
os.write(1, b"ready\n")
while True:
    os.write(1, b"".join(b"%d\n" % s for s in os.read(r, 4096)))`

// kinds are the signals of a storm: all but KILL, STOP and CHLD, what suspends
// and CONT, which take each other back, and the two of the C library.
func kinds() (all []int) {
	for sig := 1; sig <= 64; sig++ {
		switch sig {
		case 9, 17, 18, 19, 20, 21, 22, 32, 33:
		default:
			all = append(all, sig)
		}
	}
	return all
}

// TestStorm sends signals of all kinds at every moment, TERM and INT among them,
// for each of which the init asks a Go child: none is lost and none is fatal.
// Standard signals merge while they are pending, so each kind is sent again only
// when it arrived.
func TestStorm(t *testing.T) {
	n, random := hosttest.Trials(t, 3000, 100_000)
	python, err := exec.LookPath("python3")
	hosttest.Needs(t, "python3", err == nil, "apt-get install python3-minimal")
	binary := build(t, own, entryFlag(), "")
	hooks := t.TempDir()
	r := begin(t, binary, []string{"--no-drain", "--warn-zombies=1s", "--hooks", hooks}, python, "-c", counter)
	if err := r.line("ready"); err != nil {
		t.Fatal(err)
	}
	sent, all := map[int]int{}, kinds()
	for total := 0; total < n; {
		arrived := r.counts()
		for range 12 {
			sig := all[random.IntN(len(all))]
			if sent[sig] > arrived[strconv.Itoa(sig)] { // one of the kind may be pending
				continue
			}
			if err := r.signal(sig); err != nil {
				t.Fatalf("after %d signals: %v; output ends:\n%s", total, err, tail(r.output()))
			}
			sent[sig]++
			total++
			if random.IntN(2) == 0 {
				time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
			}
		}
		if err := r.until("arrival of all", func() bool {
			got := r.counts()
			for sig, k := range sent {
				if got[strconv.Itoa(sig)] < k {
					return false
				}
			}
			return true
		}); err != nil {
			for sig, k := range sent {
				if got := r.count(sig); got < k {
					t.Errorf("signal %d: %d of %d arrived", sig, got, k)
				}
			}
			t.Fatalf("after %d signals: %s", total, tail(err.Error()))
		}
		if random.IntN(4) != 0 {
			time.Sleep(time.Duration(random.IntN(2500)) * time.Microsecond)
		}
	}
	for sig, k := range sent {
		if got := r.count(sig); got != k {
			t.Errorf("signal %d was sent %d times and arrived %d times", sig, k, got)
		}
	}
}

func tail(text string) string { return text[max(0, len(text)-500):] }

// TestOrphans makes orphans in storms and trickles: all are reaped, and the init's
// memory stays what it was.
func TestOrphans(t *testing.T) {
	n, _ := hosttest.Trials(t, 20_000, 1_000_000)
	binary := build(t, own, entryFlag(), "")
	orphans := filepath.Join(t.TempDir(), "orphans")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", orphans, "testdata/orphans.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := begin(t, binary, nil, orphans, strconv.Itoa(n))
	said, end := 0, time.Now().Add(time.Minute)
	for !strings.Contains(r.output(), "memory") && time.Now().Before(end) {
		if now := len(r.output()); now > said { // a fork takes 50 us here and a millisecond there
			said, end = now, time.Now().Add(time.Minute)
		}
		time.Sleep(100 * time.Millisecond)
	}
	var kib int
	at := strings.Index(r.output(), "VmRSS:")
	if at < 0 || !strings.Contains(r.output(), "left 0 of "+strconv.Itoa(n)) {
		t.Fatalf("output:\n%s", tail(r.output()))
	}
	if _, err := fmt.Sscanf(r.output()[at:], "VmRSS: %d", &kib); err != nil || kib > 32 {
		t.Errorf("%d KiB resident, %v", kib, err)
	}
	if code, err := r.code(); err != nil || code != 0 {
		t.Errorf("code %d, %v", code, err)
	}
}

// TestStarts starts and stops many times: nothing is left of any.
func TestStarts(t *testing.T) {
	n, random := hosttest.Trials(t, 300, 10_000)
	binary := build(t, own, entryFlag(), "")
	for i := range n {
		want := random.IntN(256)
		r := begin(t, binary, nil, "/bin/sh", "-c", fmt.Sprintf("(sleep 0.001 &); exit %d", want))
		if code, err := r.code(); err != nil || code != want {
			t.Fatalf("start %d: code %d, want %d, %v; output:\n%s", i, code, want, err, r.output())
		}
	}
	if left, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", syscall.Gettid())); err == nil && len(left) > 0 {
		t.Errorf("children are left: %s", left)
	}
}
