package pid1

import (
	"math/bits"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"sexton.dev/pid1/options"
)

// The Go loop does what the assembly does, step by step, where that cannot be:
// another architecture, a program that was linked without the entry, a kernel
// that lets nobody run it, or words wanted for each event.
//
// What differs: the runtime takes some signals for itself. It loses those that
// come before it is ready, and cannot tell SIGURG from its own.

// A looper is process 1 as the Go loop.
type looper struct {
	job
	argv    []string
	child   int // the Go child; 0: none
	socket  int // its answer comes here
	signals chan os.Signal
	ticks   <-chan time.Time
	swallow [options.Signals]bool // dropped once
}

// loop runs the Go loop. It does not return.
func loop(argv []string) {
	l := &looper{job: job{init: os.Getpid()}, argv: argv, signals: make(chan os.Signal, 1024)}
	l.magic, l.status, l.woken = magic, -1, whyStart
	l.given = inherited.given
	if inherited.found == 0 {
		syscall.RawSyscall(syscall.SYS_PRCTL, prGetChildSubreaper, uintptr(unsafe.Pointer(&l.adopts)), 0)
	}
	l.Options = l.parse(argv)
	reserveThreads()
	signal.Notify(l.signals)
	l.prepare()
	l.begin()
	for {
		l.wait() // first: a child that ended sent CHLD, and the line for that comes before its own
		l.reap()
	}
}

// prepare is what the init does to itself.
func (l *looper) prepare() {
	adopt := uintptr(0) // the entry may have made it one
	if l.Subreaper {
		adopt = 1
	}
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, adopt, 0)
	if l.ParentDeath != 0 {
		syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(l.ParentDeath), 0)
	}
	if l.Terminal == options.Session && isTerminal(0) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCNOTTY, 0)
		session, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
		if errno == 0 && int(session) == l.init { // a leader that lets go gets HUP and CONT for it
			l.swallow = l.SwallowOnce
		}
	}
	if l.Verbosity > 0 && l.Dialect == options.Own {
		say(l.Name + ": process " + itoa(l.init) + " is the Go loop (" + runtime.GOARCH + ")")
	}
}

// begin makes the main child, after the hooks if there are any.
func (l *looper) begin() {
	l.plan = l.start(0)
	if l.flags&flagAgain != 0 {
		l.ask(whyHooks)
		for l.child != 0 {
			l.wait()
			l.reap()
		}
		l.woken = whyBegin
		l.plan = l.start(0)
	}
	os.Chdir("/")
	l.tell(l.Spawned(l.init, int(l.main)))
	if l.plan.tick > 0 {
		l.ticks = time.Tick(time.Duration(l.plan.tick) * time.Second)
	}
	closeOthers()
}

// tell says a line, if the dialect has one: tini's lesser ones go to stdout.
func (l *looper) tell(line string) {
	if strings.HasPrefix(line, "[INFO") || strings.HasPrefix(line, "[DEBUG") {
		write(1, line+"\n")
		return
	}
	l.say(line)
}

// reap takes the status of each child that ended.
func (l *looper) reap() {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			l.nobody()
			return
		case pid == 0:
			l.living()
			return
		case pid == l.child:
			l.answered(ws)
		default:
			l.ended(pid, ws)
		}
	}
}

func (l *looper) ended(pid int, ws syscall.WaitStatus) {
	l.reaped++
	l.tell(l.Reaped(l.init, pid, ws, pid == int(l.main)))
	if pid != int(l.main) {
		return
	}
	target := int(l.target)
	l.status, l.main, l.target = int64(ws), 0, 0
	if l.flags&flagTermGroup != 0 {
		sig := l.actions[syscall.SIGTERM-1] &^ askGo // as it is rewritten; 0 does nothing
		l.tell(l.Forwarded(int(sig)))
		syscall.Kill(target, syscall.Signal(sig))
	}
}

func (l *looper) nobody() {
	switch {
	case l.status < 0:
	case l.flags&flagFinish != 0:
		l.ask(whyLeft)
	case l.flags&flagOwn != 0 && l.flags&flagDrain != 0 && syscall.Kill(-1, 0) == nil:
		l.ask(whyLeft)
	default:
		l.leaveNow()
	}
}

func (l *looper) living() {
	switch {
	case l.status < 0 || l.child != 0 || l.flags&flagWaitAll != 0:
	case l.flags&(flagDrain|flagFinish) != 0:
		l.ask(whyLeft)
	default:
		l.leaveNow()
	}
}

// wait waits for one signal or tick.
func (l *looper) wait() {
	select {
	case <-l.ticks:
		l.ask(whyTicked)
	case s := <-l.signals:
		sig, _ := s.(syscall.Signal)
		if sig == syscall.SIGURG {
			return
		}
		l.tell(l.Received(l.init, int(sig)))
		switch {
		case sig == syscall.SIGCHLD || int(sig) >= options.Signals:
		case l.swallow[sig]:
			l.swallow[sig] = false
			l.tell(l.Swallowed(int(sig)))
		case l.actions[sig-1]&askGo != 0:
			l.ask(int64(sig))
		default:
			l.forward(l.actions[sig-1])
		}
	}
}

func (l *looper) forward(sig uint8) {
	if sig != 0 && l.target != 0 && syscall.Kill(int(l.target), syscall.Signal(sig)) == nil {
		l.tell(l.Forwarded(int(sig)))
	}
}

// ask runs a Go child, or tells the one that runs.
func (l *looper) ask(why int64) {
	if l.child != 0 {
		if why < options.Signals {
			l.next |= 1 << (why - 1)
			syscall.Kill(l.child, syscall.Signal(ourSignal))
		}
		return
	}
	l.woken = why
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		l.alone()
		return
	}
	defer syscall.Close(pair[1])
	syscall.Write(pair[0], asBytes(&l.state))
	const none, theirs = 255, 3
	argv := append([]string{mark + letters(none, theirs)}, l.argv...)
	pid, err := forkDeaf(ownBinary(l.argv), argv, &syscall.ProcAttr{
		Env: syscall.Environ(), Files: []uintptr{0, 1, 2, uintptr(pair[1])},
	})
	if err != nil {
		syscall.Close(pair[0])
		l.alone()
		return
	}
	l.child, l.socket = pid, pair[0]
}

// forkDeaf makes a Go child in which our signal is blocked, as all are in the entry's.
// It may come before the child listens to it, and is kept until then: it would end
// the child at its beginning, and be lost a little later.
func forkDeaf(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	const blocked = 1 << (ourSignal - 1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old := setMask(blocked)
	setMask(old | blocked)
	defer setMask(old)
	return syscall.ForkExec(path, argv, attr)
}

// alone does what a plain init does, as no Go child can run.
func (l *looper) alone() {
	switch {
	case l.woken == whyHooks:
		l.refuse("cannot run itself for its hooks: no room for a process, or its file is gone")
	case l.woken == whyLeft:
		l.leaveNow()
	case l.woken < options.Signals:
		l.forward(l.actions[l.woken-1] &^ askGo)
	}
}

// answered takes what the Go child said at its end.
func (l *looper) answered(ws syscall.WaitStatus) {
	l.child = 0
	var a answer
	if n, err := syscall.Read(l.socket, asBytes(&a)); err == nil && n == len(asBytes(&a)) {
		l.answer = a
	}
	syscall.Close(l.socket)
	switch {
	case l.leave != 0:
		os.Exit(int(l.leave &^ leaving))
	case ws != 0 && l.tries < maxTries:
		l.tries++
		l.ask(l.woken)
		return
	case ws != 0:
		l.tries = 0
		l.alone()
		return
	}
	l.tries = 0
	if l.next != 0 && l.woken != whyHooks {
		sig := bits.TrailingZeros64(l.next)
		l.next &= l.next - 1
		l.ask(int64(sig) + 1)
	}
}

func (l *looper) leaveNow() {
	code := exitCode(l.status)
	l.tell(l.Left(l.init, syscall.WaitStatus(l.status)))
	os.Exit(int(l.remap[code]))
}

const (
	prSetChildSubreaper = 36
	prGetChildSubreaper = 37
)

// closeOthers closes every descriptor but the standard ones and the runtime's.
func closeOthers() {
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range dir {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		what, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(what, "anon_inode:[event") {
			syscall.Close(fd)
		}
	}
}
