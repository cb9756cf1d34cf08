package ptrace

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sexton.dev/internal/hosttest"
)

func TestUse(t *testing.T) {
	for _, tt := range []struct {
		name, syscall string
		want          use
	}{
		{"running", "running\n", running},
		{"in no call", "-1 0x7ffe 0x401000\n", running},
		{"futex wait", "202 0x55 0x80 0x0 0x0 0x0 0x0 0x7ffe 0x401000\n", harmless},
		{"futex wait bitset, realtime, timed", "202 0x55 0x189 0x0 0x7ff0 0x0 0xffffffff 0x7ffe 0x401000\n", harmless},
		{"futex lock: 0 would say that it is ours", "202 0x55 0x86 0x0 0x0 0x0 0x0 0x7ffe 0x401000\n", never},
		{"futex wait and requeue to a lock", "202 0x55 0x8b 0x0 0x0 0x0 0x0 0x7ffe 0x401000\n", never},
		{"nanosleep", "35 0x1 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x401000\n", harmless},
		{"a sleep that goes on", "219 0x1 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x401000\n", harmless},
		{"epoll_wait for ever", "232 0x3 0x7ff0 0x80 0xffffffff 0x0 0x0 0x7ffe 0x401000\n", startsAnew},
		{"epoll_wait for ever, 64 bits", "232 0x3 0x7ff0 0x80 0xffffffffffffffff 0x0 0x0 0x7ffe 0x401000\n", startsAnew},
		{"epoll_wait for a second", "232 0x3 0x7ff0 0x80 0x3e8 0x0 0x0 0x7ffe 0x401000\n", prolonged},
		{"epoll_pwait2 for ever", "441 0x3 0x7ff0 0x80 0x0 0x0 0x0 0x7ffe 0x401000\n", startsAnew},
		{"read", "0 0x3 0x7ff0 0x80 0x0 0x0 0x0 0x7ffe 0x401000\n", ofAnswer},
		{"waits for a child", "61 0xffffffff 0x7ff0 0x0 0x0 0x0 0x0 0x7ffe 0x401000\n", ofAnswer},
		{"connect, which is not made twice", "42 0x3 0x7ff0 0x10 0x0 0x0 0x0 0x7ffe 0x401000\n", never},
		{"io_uring_enter", "426 0x3 0x1 0x1 0x1 0x0 0x8 0x7ffe 0x401000\n", never},
		{"of the x32 kind", "1073741824 0x3 0x1 0x1 0x1 0x0 0x8 0x7ffe 0x401000\n", never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, ok := parsePlace([]byte(tt.syscall))
			if got := p.use(); ok && got != tt.want || !ok && tt.want != never {
				t.Errorf("%d, %v", got, ok)
			}
		})
	}
}

// Of a Go program's threads one that sleeps on a futex is taken, not the one that
// polls, nor one that computes.
func TestChoice(t *testing.T) {
	r := startTarget(t, "go", 1, nil)
	r.board.free = 1
	p, err := openProc("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	target, err := pin(p, r.request(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer target.release()
	for range 20 {
		tid, at, err := target.choose()
		if err != nil || at.use() != harmless || at.call == unix.SYS_EPOLL_PWAIT {
			t.Fatalf("thread %d in %+v: %v", tid, at, err)
		}
	}
	r.end()
}

// A whole burst allocates nothing, or the collector might run in it.
func TestBurstAllocatesNothing(t *testing.T) {
	const bursts, each = 5, 4
	target := startTarget(t, "epoll+log", bursts*each, nil)
	p, err := openProc("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	pinned, err := pin(p, target.request(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer pinned.release()
	r := newReaper(pinned, waiterOf(t), nil, bursts*each)
	if err := r.number(target.dead()); err != nil {
		t.Fatal(err)
	}
	least := ^uint64(0) // others may allocate meanwhile
	for all := r.left; len(all) > 0; {
		hosttest.Until(t, patience, "it is at rest", func() bool { return target.stat().state == 'S' })
		r.left = all[:each]
		b := burst{reaper: r, tid: target.pid, plan: startsAnew}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := b.run()
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.left) == 0 {
			all, least = all[each:], min(least, after.Mallocs-before.Mallocs)
		} else if len(r.left) < each {
			t.Fatal("a burst ended in the middle")
		}
	}
	if least != 0 || len(r.out) != bursts*each || len(target.dead()) != 0 {
		t.Errorf("%d allocations; %d outcomes, %d are left", least, len(r.out), len(target.dead()))
	}
	target.end()
}
