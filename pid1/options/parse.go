package options

import (
	"strconv"
	"strings"
)

// Version is that of this program; the link sets it.
var Version = "dev"

// A call is one call of the program, as far as reading it has come.
type call struct {
	*Options
	args   []string // what is left to read
	lookup func(string) (string, bool)
	pid    int
}

func (c *call) getenv(name string) string {
	value, _ := c.lookup(name)
	return value
}

// Parse reads a command line: the dialect by the name that the program was called
// by, by --dialect as the first argument, or by SEXTON_INIT_DIALECT, and then as
// that dialect has it. Exactly one of the results is nil.
//
// It stops at the first word that is no option: what follows is the command.
func Parse(argv0 string, args []string, lookup func(string) (string, bool), pid int) (*Options, *Refusal) {
	c := &call{Options: base(), args: args, lookup: lookup, pid: pid}
	c.Name = argv0[strings.LastIndexByte(argv0, '/')+1:]
	c.Dialect = called(c.Name)
	if name, ok := c.chosen(); ok {
		if c.Dialect = called(name); string(c.Dialect) != name && c.Dialect == Own {
			c.Dialect = Own
			return nil, c.refuse("--dialect: "+quote(name)+" is none", "tini, docker-init, dumb-init, catatonit, podman-init, my_init or sexton-init")
		}
	}
	if c.Dialect == Own || c.Name == "" {
		c.Name = string(Own)
	}
	refusal := c.dialect()
	if refusal != nil {
		return nil, refusal
	}
	return c.Options, nil
}

// dialect reads the arguments as one dialect has them.
func (c *call) dialect() *Refusal {
	switch c.Dialect {
	case Tini:
		return c.tini()
	case DumbInit:
		return c.dumbInit()
	case Catatonit:
		return c.catatonit()
	case MyInit:
		return c.myInit()
	}
	return c.own()
}

// called is the dialect of a name.
func called(name string) Dialect {
	switch name {
	case "tini", "tini-static", "docker-init":
		return Tini
	case "dumb-init":
		return DumbInit
	case "catatonit", "podman-init":
		return Catatonit
	case "my_init":
		return MyInit
	}
	return Own
}

// chosen takes --dialect from the beginning of the arguments.
func (c *call) chosen() (name string, ok bool) {
	if len(c.args) > 1 && c.args[0] == "--dialect" {
		name, c.args = c.args[1], c.args[2:]
		return name, true
	}
	if len(c.args) > 0 {
		if name, ok = strings.CutPrefix(c.args[0], "--dialect="); ok {
			c.args = c.args[1:]
			return name, true
		}
	}
	name = c.getenv("SEXTON_INIT_DIALECT")
	return name, name != ""
}

// base is what all dialects begin with.
func base() *Options {
	o := &Options{NotFound: 127, NotExecuted: 126, Unstarted: 1, Subreaper: true, Grace: defaultGrace, HookTimeout: defaultHookTimeout}
	for i := range o.Remap {
		o.Remap[i] = uint8(i)
	}
	for sig := range o.Forward {
		o.Forward[sig] = uint8(sig)
	}
	o.drop(sigCHLD, sigKILL, sigSTOP)
	return o
}

func (o *Options) drop(signals ...int) {
	for _, sig := range signals {
		o.Forward[sig] = 0
	}
}

// stops makes signals begin a stop, where stopping is more than forwarding.
func (o *Options) stops(signals ...int) {
	for _, sig := range signals {
		o.Stop[sig] = true
	}
}

// An option is one word of a command line, taken apart.
type option struct {
	name  string // "-v", "--verbose"
	value string
}

// next takes one option. short are the letters of the dialect, those with a value
// followed by a colon, as getopt(3) has them; long are its words, those with a
// value ending in "=", or in "[" where it may be left out. The last result is the name of an unknown option, or of
// one without its value.
func (c *call) next(short string, long []string) (o option, ok bool, bad string) {
	if len(c.args) == 0 || len(c.args[0]) < 2 || c.args[0][0] != '-' {
		return o, false, ""
	}
	word := c.args[0]
	if word == "--" {
		c.args = c.args[1:]
		return o, false, ""
	}
	if strings.HasPrefix(word, "--") {
		return c.nextLong(word, long)
	}
	letter := word[1:2]
	at := strings.IndexByte(short, letter[0])
	if at < 0 || letter == ":" {
		return o, false, "-" + letter
	}
	rest := word[2:]
	if at+1 < len(short) && short[at+1] == ':' {
		if rest != "" {
			c.args = c.args[1:]
			return option{"-" + letter, rest}, true, ""
		}
		return c.withValue("-" + letter)
	}
	if rest == "" {
		c.args = c.args[1:]
	} else { // -vw: the rest stays, as a word of its own
		c.args = append([]string{"-" + rest}, c.args[1:]...)
	}
	return option{name: "-" + letter}, true, ""
}

func (c *call) nextLong(word string, long []string) (o option, ok bool, bad string) {
	name, value, given := strings.Cut(word, "=")
	for _, l := range long {
		known := strings.TrimRight(l, "=[")
		if known != name {
			continue
		}
		switch {
		case given && known == l:
			return o, false, name
		case given || !strings.HasSuffix(l, "="):
			c.args = c.args[1:]
			return option{name, value}, true, ""
		}
		return c.withValue(name)
	}
	return o, false, name
}

func (c *call) withValue(name string) (o option, ok bool, bad string) {
	if len(c.args) < 2 {
		return o, false, name
	}
	o = option{name, c.args[1]}
	c.args = c.args[2:]
	return o, true, ""
}

// refuse is a refusal in our own words: what is wrong, and what to try.
func (c *call) refuse(wrong, try string) *Refusal {
	text := c.Name + ": " + wrong + "\n"
	if try != "" {
		text += "  try: " + try + "\n"
	}
	return &Refusal{Text: text, Stderr: true, Code: int(c.Unstarted)}
}

// quote makes a word that somebody typed fit for a terminal.
func quote(word string) string {
	if len(word) > 60 {
		word = word[:60] + "..."
	}
	return strconv.QuoteToASCII(word)
}
