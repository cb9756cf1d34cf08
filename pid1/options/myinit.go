package options

import "time"

// Where baseimage-docker has its files.
const (
	myInitGrace  = 30 * time.Second
	myInitEnvDir = "/etc/container_environment"
)

// myInit reads the dialect of baseimage-docker's my_init.
//
// Source: github.com/phusion/baseimage-docker noble-1.0.2 image/bin/my_init.
func (c *call) myInit() *Refusal {
	c.Drain, c.Runit, c.StartupFiles = true, true, true
	c.EnvDir, c.Terminal = myInitEnvDir, Shared
	c.Grace, c.KillAfter = myInitGrace, myInitGrace
	c.stops(sigTERM, sigINT)
	c.Forward[sigINT] = sigTERM
	for _, v := range []struct {
		name string
		to   *time.Duration
	}{{"KILL_PROCESS_TIMEOUT", &c.Grace}, {"KILL_ALL_PROCESSES_TIMEOUT", &c.KillAfter}} {
		if text := c.getenv(v.name); text != "" {
			if wrong := duration(text, v.to); wrong != "" {
				return c.refuse(v.name+": "+wrong, "whole seconds")
			}
		}
	}
	if refusal := c.variables(); refusal != nil {
		return refusal
	}
	known := append([]string{"--help", "--enable-insecure-key", "--skip-startup-files", "--skip-runit", "--no-kill-all-on-exit", "--quiet"}, long...)
	for {
		o, ok, bad := c.next("h", known)
		if bad != "" {
			r := c.unknown(bad, known)
			r.Code = 2 // as Python's argparse
			return r
		}
		if !ok {
			break
		}
		switch o.name {
		case "-h", "--help":
			return &Refusal{Text: myInitHelp}
		case "--enable-insecure-key": // there is no SSH server here
		case "--skip-startup-files":
			c.StartupFiles = false
		case "--skip-runit":
			c.Runit = false
		case "--no-kill-all-on-exit":
			c.Drain = false
		case "--quiet":
			c.Quiet = true
		default:
			if wrong := c.set(o.name, o.value); wrong != "" {
				return c.refuse(o.name+": "+wrong, "")
			}
		}
	}
	c.Command = c.args
	if len(c.Command) == 0 && !c.Runit {
		return c.refuse("nothing to run: no command, and --skip-runit", "my_init --skip-runit -- COMMAND")
	}
	return c.commandIsNone()
}

const myInitHelp = `usage: my_init [OPTION...] [--] [COMMAND [ARGUMENT...]]

Run the start files, runit's services and a command; stop all of them in order.

  --skip-startup-files    do not run /etc/my_init.d/* and /etc/rc.local
  --skip-runit            do not run /etc/service/*
  --no-kill-all-on-exit   leave without ending what is left
  --quiet                 say warnings and errors only
  --enable-insecure-key   accepted; there is no SSH server here
  -h, --help              print this help
  --grace D and the other options of sexton-init --help

KILL_PROCESS_TIMEOUT and KILL_ALL_PROCESSES_TIMEOUT are seconds (30).
`
