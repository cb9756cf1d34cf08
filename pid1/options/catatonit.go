package options

// CatatonitVersion is the catatonit whose dialect this is.
const CatatonitVersion = "0.2.1"

// catatonit reads the dialect of catatonit 0.2.
//
// Source: github.com/openSUSE/catatonit v0.2.1 catatonit.c.
func (c *call) catatonit() *Refusal {
	c.NotFound, c.NotExecuted, c.Unstarted = 1, 1, 1
	c.ListenPID = true
	c.drop(sigFPE, sigILL, sigSEGV, sigBUS, sigABRT, sigTRAP, sigSYS, sigTSTP, sigTTIN, sigTTOU)
	c.stops(sigTERM, sigINT)
	if refusal := c.variables(); refusal != nil {
		return refusal
	}
	if c.getenv("CATATONIT_DEBUG") != "" {
		c.Verbosity = 1
	}
	known := append([]string{"--version", "--help"}, long...)
	for {
		o, ok, bad := c.next("ghLPV", known)
		if bad != "" {
			return c.catatonitUsage(bad, known)
		}
		if !ok {
			break
		}
		switch o.name {
		case "-g":
			c.Group = true
		case "-h", "--help":
			return &Refusal{Text: c.catatonitHelp()}
		case "-L":
			return &Refusal{Text: license}
		case "-P":
			c.Pause = true
		case "-V", "--version":
			return &Refusal{Text: "tini version " + CatatonitVersion + "_catatonit\n"} // the name that docker info looks for
		default:
			if wrong := c.set(o.name, o.value); wrong != "" {
				return c.refuse(o.name+": "+wrong, "")
			}
		}
	}
	c.Command = c.args
	if c.Pause {
		c.Command, c.Drain = nil, false
	} else if len(c.Command) == 0 {
		return &Refusal{Text: c.catatonitLine("ERROR", "missing program name") + "\n" + c.catatonitUse(), Stderr: true, Code: 1}
	}
	c.EachEvent = c.Verbosity > 0
	return nil
}

func (c *call) catatonitUsage(bad string, known []string) *Refusal {
	text := c.Name + ": invalid option -- '" + printable(bad[1:]) + "'\n"
	if len(bad) > 2 || foreign(bad) != "" {
		text = c.unknown(bad, known).Text
	}
	return &Refusal{Text: text + c.catatonitUse(), Stderr: true, Code: 1}
}

func (c *call) catatonitUse() string {
	return "usage: " + c.Name + " [-ghLPV] [--] <progname> [<arguments>...]\n"
}

func (c *call) catatonitHelp() string {
	return c.catatonitUse() + `
options:
  -g              signals go to the main child's process group
  -h              print this help
  -L              print the licence
  -P              pause: run nothing, leave at TERM or INT
  -V, --version   print the version
  --drain, --grace D and the other options of sexton-init --help
`
}
