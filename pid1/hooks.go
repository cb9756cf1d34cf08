package pid1

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"sexton.dev/pid1/hooks"
	"sexton.dev/pid1/options"
)

// Where baseimage-docker has its hooks and services.
//
// Source: github.com/phusion/baseimage-docker noble-1.0.2 image/bin/my_init.
const (
	myInitStart  = "/etc/my_init.d"
	myInitLocal  = "/etc/rc.local"
	myInitPre    = "/etc/my_init.pre_shutdown.d"
	myInitPost   = "/etc/my_init.post_shutdown.d"
	serviceDir   = "/etc/service"
	runsvdir     = "runsvdir"
	runsvdirLeft = 111 // its exit code when HUP ended it: runsvdir(8)
)

// startHooks runs what comes before the main child. The init leaves with the code
// of the first that fails.
func (j *job) startHooks(a *answer) {
	if j.Dialect == options.MyInit {
		j.tellHook(errors.Join(os.MkdirAll(j.EnvDir, 0o755), hooks.Import(j.EnvDir, j.variables())))
	}
	if code := j.runHooks(j.stage("start", myInitStart), true); code != 0 {
		a.leave = leaving | int64(code)
	}
}

// stopHooks runs what comes before the main child gets its stop signal.
func (j *job) stopHooks() { j.runHooks(j.stage("pre-stop", myInitPre), false) }

// finishHooks stops runit, if it runs, and runs what comes when the main child is gone.
func (j *job) finishHooks() {
	if pid := int(j.memo[memoRunit]); pid > 0 {
		syscall.Kill(pid, syscall.SIGHUP) // it passes TERM to each service's runsv, and ends
	}
	if j.Runit {
		j.awaitServices(time.Now().Add(j.Grace))
	}
	j.runHooks(j.stage("post-stop", myInitPost), false)
}

// awaitServices waits for runit's supervisors, each of which ends with its service.
// What does not end in time is left to draining.
func (j *job) awaitServices(end time.Time) {
	isRunsv := func(p process) bool { return p.comm == "runsv" && p.state != 'Z' }
	for slices.ContainsFunc(j.ours().list, isRunsv) && time.Now().Before(end) {
		time.Sleep(step)
	}
}

// stage lists the hooks of a stage.
func (j *job) stage(name, mine string) []string {
	var all []string
	add := func(dir string, strict bool) {
		found, err := hooks.List(dir, strict)
		j.tellHook(err)
		all = append(all, found...)
	}
	if j.StartupFiles || j.Dialect == options.MyInit && name != "start" {
		add(mine, false)
		if name == "start" && syscall.Access(myInitLocal, 1) == nil {
			all = append(all, myInitLocal)
		}
	}
	if j.Hooks != "" {
		add(j.Hooks+"/"+name, true)
	}
	return all
}

// runHooks runs hooks in order, each with the environment that the one before
// left in the directory of --env-dir. It returns the code of the first that
// failed, which ends it where must is set.
func (j *job) runHooks(list []string, must bool) (code int) {
	for _, path := range list {
		if j.Dialect == options.MyInit && !j.Quiet {
			say("*** Running " + printable(path) + "...")
		}
		h := hooks.Hook{Path: path, Env: j.environment(), Mask: j.mask, Timeout: j.HookTimeout}
		code, err := h.Run(j.again)
		switch {
		case err != nil:
			code = 126
			say(j.Name + ": hook " + printable(path) + ": " + err.Error())
		case code == hooks.TimedOut:
			say(j.Name + ": hook " + printable(path) + " did not end within " + j.HookTimeout.String() + ": ended")
		case code != 0:
			say(j.Name + ": hook " + printable(path) + " failed with status " + itoa(code))
		}
		if must && code != 0 {
			return code
		}
	}
	if j.Dialect == options.MyInit {
		j.tellHook(hooks.Dump(j.environment(), j.EnvDir))
	}
	return 0
}

// tellHook says what went wrong without stopping anything: a root that cannot be
// written is no reason not to run.
func (j *job) tellHook(err error) {
	if err != nil && !j.Quiet && !errors.Is(err, syscall.EROFS) {
		say(j.Name + ": " + err.Error())
	}
}

// makeRunit starts runit's supervisor: as the main child if there is no command.
func (j *job) makeRunit(p *plan, parent uintptr) {
	main := len(j.Command) == 0
	env := j.environment()
	argv := []string{runsvdir, "-P", serviceDir}
	path, found := lookup(env, "PATH")
	file, err := lookPath(runsvdir, path, found)
	if err != nil {
		j.refuse("runit: " + runsvdir + ": " + err.Error() + "\n  try: install runit, or --skip-runit")
	}
	b := birth{path: file, argv: argv, env: env, terminal: options.Shared, tty: -1, here: -1,
		mask: j.mask, ignored: j.ignored, nofile: &j.nofile}
	pid, doing, err := b.make(parent, parent != 0 || inherited.found != 0)
	if err != nil {
		j.failExec(file, doing, err)
	}
	if !main {
		p.memo[memoRunit] = int64(pid)
		return
	}
	p.main, p.target = int64(pid), int64(pid)
	p.remap[runsvdirLeft] = p.remap[0]
	for sig := range p.actions {
		if j.Stop[sig+1] {
			p.actions[sig] = p.actions[sig]&askGo | byte(syscall.SIGHUP)
		}
	}
}
