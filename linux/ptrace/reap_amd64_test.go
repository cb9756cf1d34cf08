package ptrace

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

// kinds are the targets that nothing may disturb.
var kinds = []string{"epoll", "epoll-timed", "epoll_pwait-timed", "nanosleep", "clock_nanosleep", "read", "futex", "futex-timed", "poll", "poll-timed",
	"select-timed", "pause", "sigsuspend", "sigwaitinfo", "sigtimedwait", "busy", "nanosleep+log", "waiter", "go", "go+half"}

// TestTargets injects many times into programs that wait in each kind of call,
// as the only thing they do; into one that computes, one that waits for children
// of its own, and a Go program that does all of that at once. None ever sees it.
func TestTargets(t *testing.T) {
	n, random := hosttest.Trials(t, 456, 10_000)
	for i, kind := range kinds {
		each := n / len(kinds)
		if i < n%len(kinds) {
			each++
		}
		t.Run(kind, func(t *testing.T) {
			r := startTarget(t, kind, each, nil)
			r.undisturbed(r.reapAll(random))
			r.end()
		})
	}
}

// reapAll reaps all children that are dead now, some at a time, and proves that
// these have gone and the others are there. It returns how long the longest took,
// and the signal mask before.
func (r *runningTarget) reapAll(random *rand.Rand) (blocked string, longest time.Duration) {
	t := r.t
	i := startInjector(t, nil)
	blocked = r.line("SigBlk")
	spare := r.dead()
	r.board.free = 1
	for len(spare) > 0 {
		k := min(1+random.IntN(12), len(spare))
		given := spare[:k]
		spare = spare[k:]
		outcomes, end := i.reap(order{Request: r.request(given)})
		if longest = max(longest, end.Took); end.Error != "" {
			t.Fatal(end.Error)
		}
		for _, o := range outcomes {
			if !o.Reaped || o.Status&^0xff00 != 0 {
				t.Errorf("%+v", o)
			}
		}
		if len(outcomes) != k {
			t.Fatalf("%d outcomes of %d", len(outcomes), k)
		}
		now := r.dead()
		for _, c := range given {
			if slices.Contains(now, c) {
				t.Fatalf("%v is still there", c)
			}
		}
		for _, c := range spare {
			if !slices.Contains(now, c) {
				t.Fatalf("%v has gone and was not given", c)
			}
		}
		time.Sleep(time.Duration(random.IntN(10_000)) * time.Microsecond)
	}
	return blocked, longest
}

// Signals that come while children are reaped all arrive, and end the call that
// they find.
func TestSignals(t *testing.T) {
	n, random := hosttest.Trials(t, 120, 3000)
	kinds := []string{"epoll", "read", "futex", "poll", "pause", "sigsuspend", "sigwaitinfo"}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			each := n / len(kinds)
			r := startTarget(t, kind, each*12, nil)
			i := startInjector(t, nil)
			ended := make(chan reply)
			go func() {
				_, end := i.reap(order{Request: r.request(r.dead())})
				ended <- end
			}()
			sent, during := int64(0), 0
			running := true
			for range each {
				if running {
					during++
				}
				unix.Kill(r.pid, unix.SIGUSR1)
				sent++
				for end := time.Now().Add(patience); r.board.get(&r.board.eintr) < sent; {
					if time.Now().After(end) {
						t.Fatalf("signal %d did not end the call", sent)
					}
				}
				select {
				case end := <-ended:
					if running = false; end.Error != "" {
						t.Error(end.Error)
					}
				default:
				}
				time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
			}
			if running {
				if end := <-ended; end.Error != "" {
					t.Error(end.Error)
				}
			}
			if left := len(r.dead()); left != 0 || r.board.wrong != 0 || r.board.eintr != sent {
				t.Errorf("%d are left; %d wrong results, the last is %d; %d signals, %d EINTR", left, r.board.wrong, r.board.result, sent, r.board.eintr)
			}
			t.Logf("%d of %d signals came while children were reaped", during, sent)
			r.end()
		})
	}
}

// The injector is killed at any moment: the target lives, no signal is blocked, it
// answers and ends as it would have.
func TestKilled(t *testing.T) {
	n, random := hosttest.Trials(t, 12, 200)
	kinds := []string{"epoll", "epoll-timed", "nanosleep", "futex", "futex-timed", "poll", "select-timed", "pause", "sigsuspend", "go", "read", "sigwaitinfo"}
	const times, children = 3, 150 // of one target
	amid := 0
	for done := 0; done < n; done += times {
		kind := kinds[random.IntN(len(kinds))]
		t.Run(kind, func(t *testing.T) {
			r := startTarget(t, kind, times*children, nil)
			blocked := r.line("SigBlk")
			all := r.dead()
			r.board.free = 1
			for k := range times {
				given := all[k*children : (k+1)*children]
				i := startInjector(t, nil)
				if err := i.in.Encode(order{Request: r.request(given)}); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(patience); r.line("TracerPid") == "0" && r.left(given) == children; { // until the first burst
					if time.Now().After(end) {
						t.Fatal("the injector does not begin")
					}
				}
				time.Sleep(time.Duration(random.IntN(15_000)) * time.Microsecond)
				i.cmd.Process.Kill()
				i.cmd.Wait()
				if left := r.left(given); left > 0 && left < children {
					amid++
				}
				r.wellAfter(blocked)
			}
			r.end()
		})
	}
	t.Logf("%d of %d were killed when some of the children had been reaped and some not", amid, n)
}

// left is how many of these are there.
func (r *runningTarget) left(given []Child) (n int) {
	now := r.dead()
	for _, c := range given {
		if slices.Contains(now, c) {
			n++
		}
	}
	return n
}

// wellAfter proves that the target is free and answers.
func (r *runningTarget) wellAfter(blocked string) {
	r.t.Helper()
	if got := r.line("TracerPid"); got != "0" {
		r.t.Errorf("TracerPid is %s", got)
	}
	if s := r.stat().state; s == 'T' || s == 't' {
		r.t.Errorf("state %c", s)
	}
	if got := r.line("SigBlk"); got != blocked {
		hosttest.Until(r.t, patience, "SigBlk is as it was", func() bool { return r.line("SigBlk") == blocked })
	}
	answers := func() int64 { return r.board.get(&r.board.eintr) + r.board.get(&r.board.signals) }
	before := answers()
	hosttest.Until(r.t, patience, "it answers a signal", func() bool {
		unix.Kill(r.pid, unix.SIGUSR1)
		return answers() > before
	})
}

// The parent ends, by a signal that nothing stops, at any moment: so does Reap.
func TestParentEnds(t *testing.T) {
	n, random := hosttest.Trials(t, 8, 200)
	for range n {
		r := startTarget(t, "nanosleep", 150, nil)
		i := startInjector(t, nil)
		if err := i.in.Encode(order{Request: r.request(r.dead())}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(60_000)) * time.Microsecond)
		unix.Kill(r.pid, unix.SIGKILL)
		for end := false; !end; {
			var got reply
			if err := i.out.Decode(&got); err != nil {
				t.Fatal(err)
			}
			end = got.End
			if end && got.Error != "" && got.Refusal == nil {
				t.Error(got.Error)
			}
		}
		<-r.ended
	}
}

// A signal, or the end of time, ends it between two bursts.
func TestTerm(t *testing.T) {
	r := startTarget(t, "futex", 2000, nil)
	i := startInjector(t, nil)
	given := r.dead()
	if err := i.in.Encode(order{Request: r.request(given)}); err != nil {
		t.Fatal(err)
	}
	reaped := 0
	for {
		var got reply
		if err := i.out.Decode(&got); err != nil {
			t.Fatalf("it was killed: %v", err)
		}
		if got.End {
			left := len(r.dead())
			if done := got.Error == "" && left == 0; !done && !strings.Contains(got.Error, "terminated") || left+reaped != len(given) {
				t.Errorf("%q, %d reaped, %d left", got.Error, reaped, left)
			}
			break
		}
		if reaped++; reaped == 1 {
			i.cmd.Process.Signal(unix.SIGTERM)
		}
	}
	r.wellAfter(r.line("SigBlk"))
	r.end()
}

// Two thousand: the time is told, not tested.
func TestMany(t *testing.T) {
	n, _ := hosttest.Trials(t, 200, 2000)
	r := startTarget(t, "futex", n, nil)
	i := startInjector(t, nil)
	outcomes, end := i.reap(order{Request: r.request(r.dead())})
	if end.Error != "" || len(outcomes) != n || len(r.dead()) != 0 {
		t.Errorf("%d outcomes, %d are left: %s", len(outcomes), len(r.dead()), end.Error)
	}
	t.Logf("%d in %v, %v each", n, end.Took, end.Took/time.Duration(n))
	r.end()
}
