package pid1

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"sexton.dev/pid1/hooks"
	"sexton.dev/pid1/options"
)

// start makes the main child and the plan for the init. It ends the process if
// there is nothing to start. parent is [cloneParent] in a Go child, 0 in the loop.
func (j *job) start(parent uintptr) plan {
	p := j.draft()
	if j.woken == whyStart && j.needsLoop() && parent != 0 {
		p.flags |= flagPlain
		return p
	}
	if j.woken == whyStart {
		j.say(j.Unreaped(j.init))
		if j.Verbosity > 0 && j.Dialect == options.Own && parent != 0 {
			say(j.Name + ": process " + itoa(j.init) + " is assembly (" + runtime.GOARCH + "), this is its Go child " + itoa(os.Getpid()))
		}
		j.check()
		if j.Hooks != "" || j.StartupFiles {
			p.flags |= flagAgain
			return p
		}
	}
	if j.Runit {
		j.makeRunit(&p, parent)
	}
	if j.Pause || len(j.Command) == 0 {
		return p
	}
	p.main = int64(j.makeMain(parent))
	p.target = p.main
	if j.Group {
		p.target = -p.main
	}
	return p
}

// draft is the plan without a main child.
func (j *job) draft() plan {
	p := plan{remap: j.Remap, death: int64(j.ParentDeath), answer: j.answer}
	for sig := 1; sig < options.Signals; sig++ {
		p.actions[sig-1] = j.Forward[sig]
		if j.Stop[sig] && j.rich() || j.Suspend[sig] {
			p.actions[sig-1] |= askGo
		}
	}
	flag := func(on bool, f int64) {
		if on {
			p.flags |= f
		}
	}
	flag(j.Drain, flagDrain)
	flag(j.Hooks != "" || j.Status != "" || j.Runit, flagFinish)
	flag(j.init == 1, flagOwn)
	flag(!j.Subreaper, flagNoReaper)
	flag(j.Probe, flagWaitAll)
	flag(j.TermGroup, flagTermGroup)
	p.tick = j.period()
	return p
}

// rich reports whether a stop signal is more than a signal to forward.
func (j *job) rich() bool { return j.Drain || j.Pause || j.Hooks != "" || j.Runit || j.StartupFiles }

// needsLoop reports whether only the Go loop can do what is wanted: a line for
// each event, giving up the terminal for another session, or a main child of its
// own where nobody can adopt one.
func (j *job) needsLoop() bool {
	return j.EachEvent || j.Terminal == options.Session && isTerminal(0) || j.init != 1 && !adoption()
}

// adoption reports whether a child can become another process's. Every Linux
// that Go runs on knows PR_GET_CHILD_SUBREAPER; an emulator that does not has no
// CLONE_PARENT either.
func adoption() bool {
	var is int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prGetChildSubreaper, uintptr(unsafe.Pointer(&is)), 0)
	return errno != syscall.EINVAL
}

// check ends the process if the main child could not run with what is named,
// before a hook runs.
func (j *job) check() {
	if j.Hooks != "" {
		if err := hooks.Check(j.Hooks); err != nil {
			j.refuse("--hooks: " + err.Error())
		}
	}
	if len(j.Command) > 0 {
		env := j.environment()
		path, found := lookup(env, "PATH")
		if _, err := lookPath(j.Command[0], path, found); err != nil {
			j.failExec(j.Command[0], "", err)
		}
	}
}

// environment is the main child's.
func (j *job) environment() []string {
	env := j.variables()
	if j.EnvDir == "" {
		return env
	}
	env, err := hooks.Load(j.EnvDir, env)
	if errors.Is(err, syscall.ENOENT) && j.Dialect == options.MyInit {
		return j.variables()
	}
	if err != nil {
		j.refuse("--env-dir: " + err.Error())
	}
	return env
}

// variables are what the init was given.
func (j *job) variables() []string {
	return slices.DeleteFunc(syscall.Environ(), func(v string) bool { return v == "GOMAXPROCS=01" }) // the entry's
}

// say says a line, if there is one.
func (j *job) say(line string) {
	if line != "" {
		say(line)
	}
}

// makeMain makes the main child, or ends the process with the code that says why not.
func (j *job) makeMain(parent uintptr) int {
	env := j.environment()
	path, found := lookup(env, "PATH")
	file, err := lookPath(j.Command[0], path, found)
	if err != nil {
		j.failExec(j.Command[0], "", err)
	}
	b := birth{
		path: file, argv: j.Command, env: env,
		terminal: j.Terminal, tty: -1,
		here: -1, dir: j.Workdir, user: j.User,
		mask: j.mask, ignored: j.ignored, nofile: &j.nofile,
	}
	if j.Terminal == options.Foreground {
		b.tty = terminal(j.group())
	}
	if pid, ok := lookup(env, "LISTEN_PID"); ok && j.ListenPID && pid == itoa(j.init) {
		b.throughUs()
	}
	entered := parent != 0 || inherited.found != 0
	if entered && parent == 0 { // the loop itself: the main child may look where we are
		b.here = letGo()
		defer syscall.Close(b.here)
	}
	pid, doing, err := b.make(parent, entered)
	if err == syscall.ENOEXEC { // as execvp(3): a script without #!
		b.path, b.argv = "/bin/sh", append([]string{"sh", file}, b.argv[1:]...)
		pid, doing, err = b.make(parent, entered)
	}
	if err != nil {
		j.failExec(file, doing, err)
	}
	return pid
}

// letGo leaves the directory and returns a descriptor by which a child can be
// there, -1 if it could not come back and so stayed.
func letGo() int {
	const oPath = 0x200000
	here, err := syscall.Open(".", oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if syscall.Fchdir(here) != nil || syscall.Chdir("/") != nil {
		syscall.Close(here)
		return -1
	}
	return here
}

// group is the init's process group.
func (j *job) group() int {
	pgrp, err := syscall.Getpgid(j.init)
	if err != nil {
		return -1
	}
	return pgrp
}

// throughUs lets the main child find out its own number before it executes.
func (b *birth) throughUs() {
	name := mark + execMark + strconv.FormatUint(b.mask, 16) + " " + strconv.FormatUint(b.ignored, 16)
	b.argv = append([]string{name, b.path}, b.argv...)
	b.path = ownBinary(os.Args)
}

// failExec says why a command cannot run and ends the process with the code for it.
func (j *job) failExec(file, doing string, err error) {
	errno, _ := err.(syscall.Errno)
	if doing != "" {
		j.refuse(doing + ": " + err.Error())
	}
	say(j.ExecFailed(file, j.init, errno))
	switch errno {
	case syscall.ENOENT:
		os.Exit(int(j.NotFound))
	case syscall.EACCES, syscall.ENOEXEC, syscall.EISDIR:
		os.Exit(int(j.NotExecuted))
	}
	os.Exit(int(j.Unstarted))
}

// refuse says why nothing is started, and ends the process.
func (j *job) refuse(why string) {
	say(j.Name + ": " + why)
	os.Exit(int(j.Unstarted))
}

// lookup finds a variable in an environment: the first one, as getenv(3) does.
func lookup(env []string, name string) (value string, ok bool) {
	for _, v := range env {
		if value, ok = strings.CutPrefix(v, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// ownBinary is a path of this program: the kernel's, or where it was called by.
func ownBinary(argv []string) string {
	const self = "/proc/self/exe"
	if syscall.Access(self, 0) == nil {
		return self
	}
	for _, a := range argv {
		if len(a) > 0 && a[0] == '/' {
			return a
		}
	}
	return self
}
