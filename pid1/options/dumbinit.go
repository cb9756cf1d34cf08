package options

import (
	"slices"
	"strconv"
	"strings"
)

// DumbInitVersion is the dumb-init whose dialect this is.
const DumbInitVersion = "1.2.5"

// dumbInit reads the dialect of dumb-init 1.2.
//
// Source: github.com/Yelp/dumb-init v1.2.5 dumb-init.c.
func (c *call) dumbInit() *Refusal {
	c.NotFound, c.NotExecuted, c.Unstarted = 2, 2, 2
	c.Group, c.TermGroup, c.Terminal = true, true, Session
	c.stops(sigTERM, sigINT)
	if c.getenv("DUMB_INIT_DEBUG") == "1" {
		c.Verbosity = 1
	}
	if c.getenv("DUMB_INIT_SETSID") == "0" {
		c.single()
	}
	if refusal := c.variables(); refusal != nil {
		return refusal
	}
	known := append([]string{"--help", "--version", "--single-child"}, long...)
	var rewrites []string
	for {
		o, ok, bad := c.next("hvVcr:", known)
		if bad != "" {
			return c.dumbInitUsage(bad, known)
		}
		if !ok {
			break
		}
		switch o.name {
		case "-h", "--help":
			return &Refusal{Text: dumbInitHelp, Stderr: true}
		case "-V", "--version":
			return &Refusal{Text: "dumb-init v" + DumbInitVersion + "\n", Stderr: true}
		case "-v", "--verbose":
			c.Verbosity = 1
		case "-c", "--single-child":
			c.single()
		case "-r", "--rewrite":
			rewrites = append(rewrites, o.value)
		default:
			if wrong := c.set(o.name, o.value); wrong != "" {
				return c.refuse(o.name+": "+wrong, "")
			}
		}
	}
	c.Command = c.args
	if len(c.Command) == 0 {
		return &Refusal{Text: "Usage: dumb-init [option] program [args]\nTry dumb-init --help for full usage.\n", Stderr: true, Code: 1}
	}
	c.suspends()
	for _, r := range rewrites {
		if c.rewrite(r) != "" || tooHigh(r) {
			return &Refusal{Text: "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.\n" +
				"This option can be specified multiple times.\nUse --help for full usage.\n", Stderr: true, Code: 1}
		}
	}
	c.SwallowOnce[sigHUP], c.SwallowOnce[sigCONT] = true, true
	c.EachEvent = c.Verbosity > 0
	return nil
}

// suspends makes the signals of a terminal's suspension stop the init, too, also
// where they are rewritten; single mode leaves them as they are.
func (c *call) suspends() {
	for _, sig := range []int{sigTSTP, sigTTIN, sigTTOU} {
		c.Suspend[sig] = true
		if c.Terminal == Session {
			c.Forward[sig] = sigSTOP
		}
	}
}

// tooHigh reports whether a rewrite has a number that dumb-init refuses. A name
// may stand for a higher one.
func tooHigh(rewrite string) bool {
	for number := range strings.SplitSeq(rewrite, ":") {
		if n, err := strconv.Atoi(number); err == nil && n > sigSYS {
			return true
		}
	}
	return false
}

// single is the mode without a session of its own: signals go to one process.
func (c *call) single() {
	c.Group, c.TermGroup, c.Terminal = false, false, Shared
}

func (c *call) dumbInitUsage(bad string, known []string) *Refusal {
	r := c.unknown(bad, known)
	switch {
	case foreign(bad) != "" || slices.Contains(known, bad+"="):
	case len(bad) == 2:
		r.Text = c.Name + ": invalid option -- '" + printable(bad[1:]) + "'\n"
	default:
		r.Text = c.Name + ": unrecognized option '" + printable(bad) + "'\n"
	}
	r.Code = 1
	return r
}

const dumbInitHelp = `dumb-init v` + DumbInitVersion + `
Usage: dumb-init [option] command [[arg] ...]

dumb-init is a simple process supervisor that forwards signals to children.
It is designed to run as PID1 in minimal container environments.

Optional arguments:
   -c, --single-child   Run in single-child mode.
                        In this mode, signals are only proxied to the
                        direct child and not any of its descendants.
   -r, --rewrite s:r    Rewrite received signal s to new signal r before proxying.
                        To ignore (not proxy) a signal, rewrite it to 0.
                        This option can be specified multiple times.
   -v, --verbose        Print debugging information to stderr.
   -h, --help           Print this help message and exit.
   -V, --version        Print the current version and exit.

Full help is available online at https://github.com/Yelp/dumb-init
`
