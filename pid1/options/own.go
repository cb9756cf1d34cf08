package options

import "strings"

const ownShort = "gsp:e:vhV"

// own reads our own dialect.
func (c *call) own() *Refusal {
	c.Drain, c.ListenPID, c.WarnZombies = true, true, defaultWarn
	c.stops(sigTERM, sigINT)
	c.jobControl()
	if refusal := c.variables(); refusal != nil {
		return refusal
	}
	if len(c.args) > 0 && c.args[0] == "run-probe" {
		return c.probe()
	}
	known := append([]string{"--help", "--version", "--dialect="}, long...)
	for {
		o, ok, bad := c.next(ownShort, known)
		if bad != "" {
			return c.unknown(bad, known)
		}
		if !ok {
			break
		}
		if refusal := c.ownOption(o); refusal != nil {
			return refusal
		}
	}
	c.Command = c.args
	if len(c.Command) == 0 && !c.Runit {
		return c.refuse("no command", c.Name+" -- COMMAND [ARGUMENT...]; "+c.Name+" --help")
	}
	return c.commandIsNone()
}

func (c *call) ownOption(o option) *Refusal {
	name, value := o.name, o.value
	switch name {
	case "-h", "--help":
		return &Refusal{Text: ownHelp}
	case "-V", "--version":
		return &Refusal{Text: "sexton-init " + Version + "\n"}
	case "--dialect":
		return c.refuse("--dialect comes first", "sexton-init --dialect "+value+" ...")
	case "-g":
		name = "--group"
	case "-s":
		name = "--subreaper"
	case "-v":
		name = "--verbose"
	case "-p":
		name = "--parent-death-signal"
	case "-e":
		name = "--remap-exit"
	}
	if wrong := c.set(name, value); wrong != "" {
		return c.refuse(o.name+": "+wrong, "")
	}
	return nil
}

// jobControl makes the signals of a terminal's suspension do what a user at a
// shell expects: the main child stops, and so does the init, if it can.
func (c *call) jobControl() {
	for _, sig := range []int{sigTSTP, sigTTIN, sigTTOU} {
		c.Forward[sig], c.Suspend[sig] = sigSTOP, true
	}
}

// probe reads run-probe: one command whose children are all waited for.
func (c *call) probe() *Refusal {
	c.args = c.args[1:]
	if len(c.args) > 0 && c.args[0] == "--" {
		c.args = c.args[1:]
	}
	if len(c.args) == 0 || strings.HasPrefix(c.args[0], "-") {
		if len(c.args) > 0 && (c.args[0] == "-h" || c.args[0] == "--help") {
			return &Refusal{Text: ownHelp}
		}
		return c.refuse("run-probe: no command", "HEALTHCHECK CMD sexton-init run-probe -- COMMAND")
	}
	c.Probe, c.Drain, c.WarnZombies, c.Terminal = true, false, 0, Shared
	c.Stop, c.Suspend = [Signals]bool{}, [Signals]bool{}
	c.Command = c.args
	return c.commandIsNone()
}

// commandIsNone refuses an empty name, which exec would take for a missing file.
func (c *call) commandIsNone() *Refusal {
	if len(c.Command) > 0 && c.Command[0] == "" {
		return c.refuse("the command's name is empty", c.Name+" -- COMMAND [ARGUMENT...]")
	}
	return nil
}

const ownHelp = `sexton-init runs a command as a container's process 1 should: it reaps, forwards
signals, and at the end gives whatever is left time to end, too.

Usage: sexton-init [OPTION...] [--] COMMAND [ARGUMENT...]
       sexton-init run-probe [--] COMMAND [ARGUMENT...]
       ENTRYPOINT ["/sexton-init", "--"]

Stopping:
      --grace D              from the stop signal to KILL (8s, within docker stop's 10s)
      --drain-delay D        wait before the stop signal is passed on (0)
      --kill-after D         from TERM to KILL of what the main child left (rest of --grace)
      --no-drain             leave as soon as the main child ends
      --stop-signal SIGNAL   what the main child gets for TERM, and what stops as TERM does
      --rewrite A:B          send signal B for A, 0 for none; repeat, or separate by commas
  -g, --group                signals go to the main child's process group
      --kill-orphans         end what loses its parent
Telling:
      --warn-zombies[=D]     warn of dead children of living parents (every 1m; off)
      --status FILE          keep counts in a file
  -e, --remap-exit N[=M]     leave with M (0) where the main child leaves with N; repeat
  -v, --verbose              say which form runs
Surroundings:
      --hooks DIR            run DIR/start, DIR/pre-stop and DIR/post-stop
      --hook-timeout D       for each hook (60s)
      --env-dir DIR          a file a variable
      --workdir DIR          where the command runs
      --user UID[:GID]       who it runs as
      --runit                run runit's services beside it
  -p, --parent-death-signal SIGNAL
      --dialect NAME         be tini, dumb-init, catatonit or my_init; comes first
  -h, --help   --version

Each option is a variable, too: SEXTON_INIT_GRACE=20s. D is 8s, 500ms, 1m or seconds.
run-probe waits for all that a health check leaves, so that process 1 need not reap it.

Example: sexton-init --drain-delay 5s --grace 25s -- nginx -g 'daemon off;'
`
