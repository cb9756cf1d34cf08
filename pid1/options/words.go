package options

import (
	"strconv"
	"syscall"
)

// What a dialect says of events. An empty line is nothing to say.

// ExecFailed says that the command could not be executed.
func (o *Options) ExecFailed(file string, pid int, errno syscall.Errno) string {
	why := describe(errno)
	switch o.Dialect {
	case Tini:
		return tiniLine("FATAL", pid, "exec "+printable(file)+" failed: "+why)
	case DumbInit:
		return "[dumb-init] " + printable(file) + ": " + why
	case Catatonit:
		return catatonitLine("ERROR", pid, "failed to exec pid1: "+why+": "+printable(file))
	}
	line := o.Name + ": " + printable(file) + ": " + why
	switch errno {
	case syscall.ENOENT:
		return line + "\n  try: a path, or a name that is in PATH; if the file is there, its interpreter or loader is not"
	case syscall.EACCES:
		return line + "\n  try: chmod +x, and a filesystem that is not mounted noexec"
	}
	return line
}

// describe is the C library's text, which the peers' users know.
func describe(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOENT:
		return "No such file or directory"
	case syscall.EACCES:
		return "Permission denied"
	case syscall.ENOEXEC:
		return "Exec format error"
	}
	return errno.Error()
}

// Unreaped is tini's warning that orphans go to somebody else.
func (o *Options) Unreaped(pid int) string {
	if o.Dialect != Tini || o.Subreaper || pid == 1 || o.Verbosity < 1 {
		return ""
	}
	return tiniLine("WARN ", pid, "Tini is not running as PID 1 and isn't registered as a child subreaper.\n"+
		"Zombie processes will not be re-parented to Tini, so zombie reaping won't work.\n"+
		"To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a child subreaper, or run Tini as PID 1.")
}

// Spawned says that the main child began.
func (o *Options) Spawned(init, pid int) string {
	if len(o.Command) == 0 {
		return ""
	}
	switch {
	case o.Dialect == Tini && o.Verbosity > 1:
		return tiniLine("INFO ", init, "Spawned child process '"+printable(o.Command[0])+"' with pid '"+strconv.Itoa(pid)+"'")
	case o.Dialect == DumbInit && o.Verbosity > 0:
		line := "[dumb-init] Child spawned with PID " + strconv.Itoa(pid) + "."
		if o.Terminal == Session {
			line += "\n[dumb-init] setsid complete."
		}
		return line
	case o.Dialect == Catatonit && o.Verbosity > 0:
		return catatonitLine("DEBUG", init, "pid1 ("+strconv.Itoa(pid)+") spawned: "+printable(o.Command[0]))
	}
	return ""
}

// Received says that a signal came.
func (o *Options) Received(init, sig int) string {
	switch {
	case o.Dialect == DumbInit && o.Verbosity > 0:
		return "[dumb-init] Received signal " + strconv.Itoa(sig) + "."
	case o.Dialect == Tini && o.Verbosity > 2 && sig == sigCHLD:
		return tiniLine("DEBUG", init, "Received SIGCHLD")
	case o.Dialect == Tini && o.Verbosity > 2:
		return tiniLine("DEBUG", init, "Passing signal: '"+SignalName(sig)+"'")
	}
	return ""
}

// Swallowed says that a signal was dropped because the terminal changed hands.
func (o *Options) Swallowed(sig int) string {
	if o.Dialect == DumbInit && o.Verbosity > 0 {
		return "[dumb-init] Ignoring tty hand-off signal " + strconv.Itoa(sig) + "."
	}
	return ""
}

// Forwarded says that a signal was sent; 0 is one that was dropped.
func (o *Options) Forwarded(sig int) string {
	switch {
	case o.Dialect == DumbInit && o.Verbosity > 0 && sig == 0:
		return "[dumb-init] Not forwarding signal 0 to children (ignored)."
	case o.Dialect == DumbInit && o.Verbosity > 0:
		return "[dumb-init] Forwarded signal " + strconv.Itoa(sig) + " to children."
	}
	return ""
}

// Reaped says that a child ended.
func (o *Options) Reaped(init, pid int, ws syscall.WaitStatus, main bool) string {
	p := strconv.Itoa(pid)
	switch {
	case o.Dialect == Tini && !main && o.ReapWarning:
		return tiniLine("WARN ", init, "Reaped zombie process with pid="+p)
	case o.Dialect == Tini && o.Verbosity > 2:
		return tiniLine("DEBUG", init, "Reaped child with pid: '"+p+"'")
	case o.Dialect == DumbInit && o.Verbosity > 0 && ws.Signaled():
		return "[dumb-init] A child with PID " + p + " was terminated by signal " + strconv.Itoa(int(ws.Signal())) + "."
	case o.Dialect == DumbInit && o.Verbosity > 0:
		return "[dumb-init] A child with PID " + p + " exited with exit status " + strconv.Itoa(ws.ExitStatus()) + "."
	}
	return ""
}

// Left says that the init leaves as the main child did.
func (o *Options) Left(init int, ws syscall.WaitStatus) string {
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	switch {
	case o.Dialect == Tini && o.Verbosity > 1 && ws.Signaled():
		return tiniLine("INFO ", init, "Main child exited with signal (with signal '"+SignalName(int(ws.Signal()))+"')")
	case o.Dialect == Tini && o.Verbosity > 1:
		return tiniLine("INFO ", init, "Main child exited normally (with status '"+strconv.Itoa(code)+"')")
	case o.Dialect == DumbInit && o.Verbosity > 0:
		line := "[dumb-init] Child exited with status " + strconv.Itoa(code) + ". Goodbye."
		if !o.TermGroup { // dumb-init sends it to the main child, which is gone, and says so
			line = o.Forwarded(int(o.Forward[sigTERM])) + "\n" + line
		}
		return line
	}
	return ""
}

func tiniLine(level string, pid int, text string) string {
	return "[" + level + " tini (" + strconv.Itoa(pid) + ")] " + text
}

func (c *call) tiniLine(level, text string) string { return tiniLine(level, c.pid, text) }

func catatonitLine(level string, pid int, text string) string {
	return level + " (catatonit:" + strconv.Itoa(pid) + "): " + text
}

func (c *call) catatonitLine(level, text string) string { return catatonitLine(level, c.pid, text) }

// printable is a name that somebody chose, fit for a terminal.
func printable(name string) string {
	q := strconv.QuoteToGraphic(name)
	return q[1 : len(q)-1]
}
