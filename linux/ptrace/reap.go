package ptrace

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Request names a parent and the children that are dead.
type Request struct {
	Proc  string // where proc is mounted; pids are as it numbers them, which must be as this process sees them
	PID   int    // the parent
	Start uint64 // its start, clock ticks after boot: field 22 of stat
	Dead  []Child

	only int // the one thread that may be borrowed; 0: any. For tests
}

// A Child is a dead child of the parent. That it may be reaped is for the caller to know.
type Child struct {
	PID   int
	Start uint64 // clock ticks after boot
}

// An Outcome says what became of one child.
type Outcome struct {
	PID    int
	Reaped bool
	Status int    // how it ended, as waitpid(2) gives it, read just before: stat's field 52
	Why    string // it was left, or who else reaped it
}

const (
	burstLimit = 50 * time.Millisecond // for which a thread is stopped
	pause      = 10 * time.Millisecond // for which it then runs
	stopLimit  = 2 * time.Second       // for a thread to stop
	mostIdle   = 100                   // bursts one after the other that reap nothing

	longestWait = 5 * time.Second // for a call to begin
)

// Reap reaps the dead children of a request in place of their parent, and hands
// each outcome to said, never while the parent is stopped.
//
// It runs in a process of its own: the caller executes itself for it. It drops
// capabilities, takes itself out of the reach of the OOM killer and before others
// in the queue for a processor where it may, and turns off the garbage collector.
// SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP and the end of ctx end it between two
// bursts. SIGKILL, also as its Pdeathsig, is for when it does not end by these: a
// call of the parent might return early.
//
// Errors are a [*Refusal] where the parent cannot or must not be touched; what was
// said before holds. Children of which nothing was said were not touched.
func Reap(ctx context.Context, r Request, said func(Outcome) error) error {
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us, and the kernel frees what it still traces
		ended <- reap(ctx, r, said)
	}()
	return <-ended
}

func reap(ctx context.Context, q Request, said func(Outcome) error) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP)
	defer stop()
	p, err := openProc(q.Proc)
	if err != nil {
		return refuse("name the directory where proc is mounted", "open %s: %v", q.Proc, err)
	}
	defer p.close()
	_ = os.WriteFile(filepath.Join(q.Proc, "self/oom_score_adj"), []byte("-1000"), 0) // needs CAP_SYS_RESOURCE
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20)                                   // CAP_SYS_NICE: bursts are short on a busy machine too
	defer awake()()
	s, _ := p.status(q.PID, 0)
	if err := confine(Capabilities(s.seccomp != 0)); err != nil {
		return err
	}
	t, err := pin(p, q)
	if err != nil {
		return err
	}
	defer t.release()
	w, err := newWaiter()
	if err != nil {
		return err
	}
	defer w.close()
	r := newReaper(t, w, said, len(q.Dead))
	if err := r.number(q.Dead); err != nil {
		return err
	}
	runtime.GC() // the last one: what still runs is over before the first burst
	return r.all(ctx)
}

// A reaper goes from burst to burst.
type reaper struct {
	*target
	*waiter
	said    func(Outcome) error
	left    []numbered
	out     []Outcome // of this burst
	filters *filters
	caught  uint64    // signals with a handler in the parent
	why     error     // nothing was reaped the last time, if that is known
	began   time.Time // when a call began last whose timeout bursts make begin anew
}

// A numbered child has its pid in the parent's PID namespace.
type numbered struct {
	Child
	inner int
}

func newReaper(t *target, w *waiter, said func(Outcome) error, n int) *reaper {
	return &reaper{target: t, waiter: w, said: said, left: make([]numbered, 0, n), out: make([]Outcome, 0, n), filters: newFilters()}
}

// number reads what the parent calls its children.
func (r *reaper) number(dead []Child) error {
	for _, c := range dead {
		s, errno := r.proc.status(c.PID, 0)
		var why string
		switch {
		case c.PID <= 1:
			why = "it is no child's pid"
		case errno != 0:
			why = "it has gone already"
		case s.tracer != 0:
			why = "a debugger traces it, and has its status first"
		case s.depth < r.depth || s.pids[r.depth-1] <= 0:
			why = "it is not in the PID namespace of its parent"
		}
		if why == "" {
			r.left = append(r.left, numbered{c, s.pids[r.depth-1]})
		} else if err := r.said(Outcome{PID: c.PID, Why: why}); err != nil {
			return err
		}
	}
	return nil
}

// all makes bursts until no child is left.
func (r *reaper) all(ctx context.Context) error {
	for idle := 0; len(r.left) > 0; idle++ {
		if err := r.givenUp(idle); err != nil {
			return err
		}
		before := len(r.left)
		if err := r.one(ctx); err != nil {
			return err
		}
		if len(r.left) < before {
			idle, r.why = 0, nil
		}
		if len(r.left) > 0 {
			sleep(ctx, pause)
		}
	}
	return nil
}

func (r *reaper) givenUp(idle int) error {
	switch {
	case idle <= mostIdle:
		return nil
	case r.why != nil:
		return r.why
	}
	return refuse("try again when it is less busy", "process %d was never found at rest: signals come, or its threads move, all the time", r.pid)
}

// one makes a burst and says what came of it.
func (r *reaper) one(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	tid, at, err := r.choose()
	if err != nil { // now; it may move in a moment
		r.why = err
		return nil
	}
	r.why = nil
	b := burst{reaper: r, tid: tid, plan: at.use()}
	if b.plan == running {
		if b.vdso, r.why = r.vdsoCall(tid); r.why != nil {
			return nil
		}
	}
	// The memory is read in the burst too. If one of the parent's threads waits for
	// a dead file system with its memory map locked, we hang here, not with a thread stopped.
	var site uint64
	_ = peekAt(tid, at.pc-callSize, unsafe.Pointer(&site), unsafe.Sizeof(site))
	r.untilAnew(ctx, tid, timeout(tid, at))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failed := b.run()
	for _, o := range r.out {
		if err := r.said(o); err != nil {
			return err
		}
	}
	r.out = r.out[:0]
	return failed
}

// untilAnew waits until a call has just begun whose timeout a burst makes begin
// anew, unless the last one that began is still in its first quarter. So no call
// of up to 5 s is prolonged by more than that, and a longer one once.
func (r *reaper) untilAnew(ctx context.Context, tid int, timeout time.Duration) {
	if timeout == 0 || time.Since(r.began) < timeout/4 {
		return
	}
	first, errno := r.proc.status(r.pid, tid)
	for end := time.Now().Add(min(timeout, longestWait)); errno == 0 && time.Now().Before(end) && ctx.Err() == nil; {
		sleep(ctx, time.Millisecond)
		var s status
		if s, errno = r.proc.status(r.pid, tid); s.switches != first.switches {
			break
		}
	}
	r.began = time.Now()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
