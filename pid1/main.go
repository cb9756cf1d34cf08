package pid1

import (
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"sexton.dev/pid1/options"
)

// mark begins argv[0] of every process that the init makes of its own binary.
const mark = "sextonGo"

// Main is the program: a Go child of the assembly, or the Go loop.
func Main() {
	debug.SetGCPercent(-1) // a child ends before it has garbage, the loop makes none
	letters, ours := strings.CutPrefix(os.Args[0], mark)
	switch {
	case !ours:
		loop(os.Args)
	case strings.HasPrefix(letters, execMark):
		execute(os.Args[1:])
	default:
		answerParent(letters, os.Args[1:])
	}
}

// parse reads a command line. It does not return if nothing is to be started.
func (j *job) parse(argv []string) *options.Options {
	name, args := "", []string(nil)
	if len(argv) > 0 {
		name, args = argv[0], argv[1:]
	}
	o, refusal := options.Parse(name, args, syscall.Getenv, j.init)
	if refusal == nil {
		o.Subreaper = o.Subreaper || j.adopts != 0
		return o
	}
	out := 1
	if refusal.Stderr {
		out = 2
	}
	write(out, refusal.Text)
	os.Exit(refusal.Code)
	return nil
}

// A job is what a Go child has at hand.
type job struct {
	*options.Options
	state
	init  int            // process id of the init
	again chan os.Signal // further stop signals
}

// answerParent does what the init asks for, and ends.
func answerParent(letters string, argv []string) {
	socket := descriptors(letters)
	var j job
	n, _, err := syscall.Recvfrom(socket, asBytes(&j.state), syscall.MSG_PEEK) // an older binary may have to read it, too
	j.init = os.Getppid()
	switch {
	case err != nil:
		say("sexton-init: cannot read what the init asks: " + err.Error())
		os.Exit(1)
	case n != len(asBytes(&j.state)) || j.magic != magic:
		executeOlder(socket, &j)
	}
	j.Options = j.parse(argv)
	switch j.woken {
	case whyStart, whyBegin:
		p := j.start(cloneParent)
		syscall.Write(socket, asBytes(&p))
	default:
		a := j.answer
		j.perform(&a)
		syscall.Write(socket, asBytes(&a))
	}
	os.Exit(0)
}

// perform does what is asked of a Go child while the init is at rest.
func (j *job) perform(a *answer) {
	switch {
	case j.woken == whyTicked:
		j.tick(a)
		return
	case j.woken < options.Signals && j.Suspend[j.woken]:
		j.suspend()
		return
	case j.woken < options.Signals && j.Pause:
		a.leave = leaving
		return
	}
	j.again = catch()
	switch j.woken {
	case whyHooks:
		j.startHooks(a)
	case whyLeft:
		j.left(a)
	default:
		j.stop(a)
	}
}

// suspend stops the main child and the init, as a terminal's user wants it.
// Process 1 of a namespace cannot be stopped from inside.
func (j *job) suspend() {
	syscall.Kill(int(j.target), syscall.Signal(j.Forward[j.woken]))
	syscall.Kill(j.init, syscall.SIGSTOP)
}

// executeOlder lets the init's own binary answer, as this one took its place since.
func executeOlder(socket int, j *job) {
	syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(socket), syscall.F_SETFD, 0)
	err := syscall.Exec("/proc/"+itoa(j.init)+"/exe", os.Args, syscall.Environ())
	say("sexton-init: this binary took the place of the one that runs, which cannot be executed: " + err.Error())
	os.Exit(1)
}
