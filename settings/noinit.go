package settings

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sexton.dev/check"
)

const noInitName = "no-init"

// Of a PID 1 that does not do an init's work: what comes of it.
const (
	Killed  = "Each stop waits out the grace period and ends in KILL, unless the image names another STOPSIGNAL"
	Zombies = "docker exec sessions, probes and daemonising children leave zombies"
)

// UseExec says how to get a wrapper out of the way. An init in front of it is not
// enough: it ends the wrapper, and the kernel then kills what is below.
const UseExec = "end the wrapper with exec PROGRAM, or name the program itself as the entrypoint (not in the shell form); " +
	"an init that passes TERM only to the wrapper does not help the program"

// UseInit says how a format puts an init in front of a program.
func UseInit(f Format) string {
	switch f {
	case Kubernetes:
		return "make sexton-init the container's entrypoint, or set shareProcessNamespace: true in the pod"
	case Compose:
		return "init: true, or sexton-init as the entrypoint"
	}
	return "docker run --init, or sexton-init as the entrypoint"
}

// inits are programs that are made to be PID 1, by comm or executable. What
// they block or catch does not show it: tini waits in sigtimedwait, which
// unblocks what it waits for.
var inits = []string{
	"tini", "tini-static", "docker-init", "podman-init", "dumb-init", "catatonit", "sexton-init", "s6-svscan", "s6-linux-init",
	"runit", "runsvdir", "my_init", "systemd", "init", "openrc-init", "supervisord", "pause",
}

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"}

// IsInit reports whether a program of this name is made to be PID 1.
func IsInit(name string) bool { return slices.Contains(inits, name) }

// IsShell reports whether a program of this name is a shell.
func IsShell(name string) bool { return slices.Contains(shells, name) }

// careless are programs that reap no orphans, with what they do about TERM: as PID 1
// they drop it unless they handle it.
//
// Source: pid_namespaces(7).
var careless = map[string]string{
	"node": "", "nodejs": "", "deno": "", "bun": "", "npm": "", "npx": "", "yarn": "", "pnpm": "",
	"python": drops, "ruby": drops, "perl": drops, "php": drops, "bundle": drops, "rails": drops, "flask": drops,
	"java": "", "dotnet": "", "uvicorn": "", "celery": "",
	"sleep": drops, "tail": drops, "cat": drops,
}

const drops = ", and drops TERM unless it handles it"

// versioned is a program's name with the version behind it: python3.11, node18.
var versioned = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(python|pypy|ruby|perl|php|node|java)-?[0-9.]*$`) })

// steps are programs that execute what stands behind their options and n arguments.
var steps = map[string]int{"exec": 0, "env": 0, "nohup": 0, "nice": 0, "ionice": 0, "setsid": 0, "stdbuf": 0, "gosu": 1, "su-exec": 1, "chpst": 0, "setpriv": 0}

func noInit(w *Workload, c *Container) []check.Finding {
	argv, hasInit := behind(c.Program.Argv)
	hasInit = hasInit || c.Init || w.OtherPID1
	for range mostShells {
		if len(argv) == 0 || !IsShell(path.Base(argv[0])) {
			break
		}
		text, ok := script(argv)
		how, becomes := read(text)
		switch {
		case !ok || c.Brief:
			return nil
		case how == several || how == single && waits(path.Base(argv[0])):
			return []check.Finding{inShell(w, c, argv, how, hasInit)}
		}
		rest, more := behind(becomes)
		argv, hasInit = rest, hasInit || more
	}
	if len(argv) == 0 {
		return nil
	}
	name := path.Base(argv[0])
	if m := versioned().FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	term, known := careless[name]
	if !known || hasInit || c.Brief {
		return nil
	}
	f := finding(w, c, c.Program.Place, "")
	f.Severity = check.Info
	f.Title = fmt.Sprintf("%s has no init: its PID 1 is %s, which reaps no orphans%s", w.label(c), name, term)
	f.Cause = "PID 1 is given every orphan of the container, and the kernel drops each signal that it has no handler for"
	f.Harm = strings.ToUpper(Zombies[:1]) + Zombies[1:]
	if term != "" {
		f.Harm += ". " + Killed
	}
	f.Evidence = []check.Evidence{seen(c.Program.Place, strings.Join(c.Program.Argv, " "))}
	f.Advice = []string{UseInit(w.Format)}
	return []check.Finding{f}
}

// mostShells are looked into, one that starts the next.
const mostShells = 4

// waits reports whether a shell waits for a single command: dash does, which is the sh
// of Debian and Ubuntu; bash, busybox and the others replace themselves by it.
func waits(shell string) bool { return shell == "sh" || shell == "dash" }

// inShell tells of a shell that is to be PID 1, or that an init starts.
func inShell(w *Workload, c *Container, argv []string, how reading, hasInit bool) check.Finding {
	f := finding(w, c, c.Program.Place, "")
	f.Severity = check.Warning
	f.Evidence = []check.Evidence{seen(c.Program.Place, strings.Join(argv, " "))}
	if c.Program.Shell != "" {
		f.Evidence = append(f.Evidence, seen(c.Program.Place, c.Program.Shell))
	}
	f.Title = "PID 1 of " + w.label(c) + " is a shell"
	f.Harm = Killed + "; the program never hears of it"
	if hasInit {
		f.Title = w.label(c) + " runs a shell behind its init"
		f.Harm = "At each stop the init ends the shell, and the kernel kills the program that it waits for: it never hears of TERM"
	}
	f.Advice = []string{UseExec}
	if how == single {
		f.Title += " in front of one program"
		f.Cause = "dash, the sh of Debian and Ubuntu, waits for its command and passes no signal on; bash and busybox replace themselves by a single one"
		return f
	}
	f.Title += " that waits for its commands and passes no TERM to them"
	f.Cause = "A shell does not pass signals on, and runs no trap before the command in the foreground has ended"
	return f
}

// behind passes over what executes something else, and tells whether an init was there.
func behind(argv []string) (rest []string, hasInit bool) {
	for len(argv) > 0 {
		name := path.Base(argv[0])
		skip, isStep := steps[name]
		switch {
		case IsInit(name):
			hasInit = true
			if argv = argv[1:]; slices.Contains(argv, "--") {
				argv = argv[slices.Index(argv, "--")+1:]
				continue
			}
		case isStep:
			argv = argv[min(1+skip, len(argv)):]
		default:
			return argv, hasInit
		}
		for len(argv) > 0 && (strings.HasPrefix(argv[0], "-") || strings.Contains(argv[0], "=") && name == "env") {
			argv = argv[1:]
		}
	}
	return nil, hasInit
}
