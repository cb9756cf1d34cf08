package options

import "strconv"

// TiniVersion is the tini whose dialect this is.
const TiniVersion = "0.19.0"

// tini reads the dialect of tini 0.19.
//
// Source: github.com/krallin/tini v0.19.0 src/tini.c.
func (c *call) tini() *Refusal {
	c.Verbosity = 1
	c.Subreaper = c.pid == 1
	c.drop(sigFPE, sigILL, sigSEGV, sigBUS, sigABRT, sigTRAP, sigSYS, sigTTIN, sigTTOU)
	c.stops(sigTERM, sigINT)
	if len(c.args) == 1 && c.args[0] == "--version" {
		return &Refusal{Text: tiniVersion() + "\n"}
	}
	if refusal := c.variables(); refusal != nil {
		return refusal
	}
	warn := false
	for {
		o, ok, bad := c.next("p:hvwgle:s", long)
		if bad != "" {
			return c.tiniUsage(bad)
		}
		if !ok {
			break
		}
		switch o.name {
		case "-h":
			return &Refusal{Text: c.tiniHelp()}
		case "-l":
			return &Refusal{Text: license}
		case "-s":
			c.Subreaper = true
		case "-g":
			c.Group = true
		case "-v":
			c.Verbosity++
		case "-w":
			warn = true
		case "-p", "-e":
			if refusal := c.tiniValue(o); refusal != nil {
				return refusal
			}
		default:
			if wrong := c.set(o.name, o.value); wrong != "" {
				return c.refuse(o.name+": "+wrong, "")
			}
		}
	}
	c.Command = c.args
	if len(c.Command) == 0 {
		return c.tiniUsage("")
	}
	c.tiniVariables()
	c.ReapWarning = warn
	c.EachEvent = warn || c.Verbosity > 1
	return nil
}

// tiniVariables reads tini's own variables, which win over flags.
func (c *call) tiniVariables() {
	if c.isSet("TINI_SUBREAPER") {
		c.Subreaper = true
	}
	if c.isSet("TINI_KILL_PROCESS_GROUP") {
		c.Group = true
	}
	if text := c.getenv("TINI_VERBOSITY"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			n = 0 // as atoi(3)
		}
		c.Verbosity = n
	}
}

// isSet reports whether a variable of tini's is there, which is all it asks, even
// if it is empty or 0.
func (c *call) isSet(name string) bool {
	_, ok := c.lookup(name)
	return ok
}

func (c *call) tiniValue(o option) *Refusal {
	if o.name == "-p" {
		if sig, ok := ParseSignal(o.value); ok {
			c.ParentDeath = sig
			return nil
		}
	} else if c.remapExit(o.value) == "" {
		return nil
	}
	return &Refusal{Text: c.tiniLine("FATAL", "Not a valid option for "+o.name+": "+printable(o.value)) + "\n", Stderr: true, Code: 1}
}

// tiniVersion is a line that docker info reads.
//
// Source: github.com/moby/moby v28 daemon/info_unix.go, parseInitVersion.
func tiniVersion() string { return "tini version " + TiniVersion + " - git.sexton-" + Version }

func (c *call) tiniUsage(bad string) *Refusal {
	text := ""
	switch {
	case bad != "" && foreign(bad) != "" || len(bad) > 2:
		text = c.unknown(bad, long).Text
	case bad != "":
		text = c.Name + ": invalid option -- '" + printable(bad[1:]) + "'\n"
	}
	return &Refusal{Text: text + c.tiniHelp(), Stderr: true, Code: 1}
}

func (c *call) tiniHelp() string {
	return c.Name + " (" + tiniVersion() + ")\n" +
		"Usage: " + c.Name + " [OPTIONS] PROGRAM -- [ARGS] | --version\n\n" +
		"Execute a program under the supervision of a valid init process (" + c.Name + ")\n\n" +
		`Command line options:

  --version: Show version and exit.
  -h: Show this help message and exit.
  -s: Register as a process subreaper.
  -p SIGNAL: Trigger SIGNAL when parent dies, e.g. "-p SIGKILL".
  -v: Generate more verbose output. Repeat up to 3 times.
  -w: Print a warning when processes are getting reaped.
  -g: Send signals to the child's process group.
  -e EXIT_CODE: Remap EXIT_CODE (from 0 to 255) to 0 (can be repeated).
  -l: Show license and exit.
  --drain, --grace D and the other options of sexton-init --help.

Environment variables:

  TINI_SUBREAPER: Register as a process subreaper.
  TINI_VERBOSITY: Set the verbosity level (default: 1).
  TINI_KILL_PROCESS_GROUP: Send signals to the child's process group.
  SEXTON_INIT_DRAIN=1 and the other variables of sexton-init --help.

`
}

const license = "sexton-init is free software under the Apache License, version 2.0:\nhttps://www.apache.org/licenses/LICENSE-2.0\nSPDX-License-Identifier: Apache-2.0\n"
