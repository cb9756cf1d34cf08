package options

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultGrace       = 8 * time.Second // within docker stop's 10
	defaultHookTimeout = 60 * time.Second
	defaultWarn        = time.Minute
	maxDuration        = 365 * 24 * time.Hour
)

// long are the flags of this program: all of them in its own dialect, those that
// another dialect does not have in that one, too. Each is a variable as well:
// --drain-delay is SEXTON_INIT_DRAIN_DELAY.
var long = []string{
	"--drain", "--no-drain", "--drain-delay=", "--grace=", "--kill-after=", "--stop-signal=", "--rewrite=",
	"--group", "--warn-zombies[", "--status=", "--kill-orphans", "--remap-exit=", "--hooks=", "--hook-timeout=",
	"--env-dir=", "--workdir=", "--user=", "--parent-death-signal=", "--subreaper", "--runit", "--verbose",
}

// set does what one of our flags says. The error is what is wrong with the value.
func (c *call) set(name, value string) (wrong string) {
	switch name {
	case "--drain":
		c.Drain = true
	case "--no-drain":
		c.Drain = false
	case "--drain-delay":
		return duration(value, &c.DrainDelay)
	case "--grace":
		return duration(value, &c.Grace)
	case "--kill-after":
		return duration(value, &c.KillAfter)
	case "--hook-timeout":
		return duration(value, &c.HookTimeout)
	case "--stop-signal":
		return c.setStopSignal(value)
	case "--rewrite":
		return each(value, c.rewrite)
	case "--group":
		c.Group = true
	case "--warn-zombies":
		return c.setWarn(value)
	case "--kill-orphans":
		c.KillOrphans = true
	case "--remap-exit":
		return each(value, c.remapExit)
	case "--status":
		return absolute(value, &c.Status)
	case "--hooks":
		return absolute(value, &c.Hooks)
	case "--env-dir":
		return absolute(value, &c.EnvDir)
	case "--workdir":
		c.Workdir = value
	case "--user":
		return c.setUser(value)
	case "--parent-death-signal":
		return signal(value, &c.ParentDeath)
	case "--subreaper":
		c.Subreaper = true
	case "--runit":
		c.Runit = true
	case "--verbose":
		c.Verbosity++
	}
	return ""
}

// variables sets what SEXTON_INIT_* say, before the flags are read.
func (c *call) variables() *Refusal {
	for _, l := range long {
		name := strings.TrimRight(l, "=[")
		variable := "SEXTON_INIT_" + strings.ToUpper(strings.ReplaceAll(name[2:], "-", "_"))
		value := c.getenv(variable)
		takes := name != l
		off := value == "0" || value == "false" || value == "no"
		if off && name == "--drain" {
			name = "--no-drain"
		}
		if value == "" || !takes && off && name != "--no-drain" {
			continue
		}
		if wrong := c.set(name, value); wrong != "" {
			return c.refuse(variable+": "+wrong, "")
		}
	}
	return nil
}

func duration(text string, to *time.Duration) (wrong string) {
	d, err := time.ParseDuration(text)
	if n, numeric := strconv.ParseFloat(text, 64); numeric == nil && n >= 0 && n <= maxDuration.Seconds() {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d < 0 || d > maxDuration {
		return quote(text) + " is no duration: 8s, 500ms, 1m30s, or seconds"
	}
	*to = d
	return ""
}

func signal(text string, to *uint8) (wrong string) {
	sig, ok := ParseSignal(text)
	if !ok {
		return quote(text) + " is no signal: a name as TERM or RTMIN+3, or a number from 1 to 64"
	}
	*to = sig
	return ""
}

func absolute(path string, to *string) (wrong string) {
	if !strings.HasPrefix(path, "/") {
		return quote(path) + " is not an absolute path"
	}
	*to = path
	return ""
}

// each takes a list with commas.
func each(list string, set func(string) string) (wrong string) {
	for item := range strings.SplitSeq(list, ",") {
		if wrong := set(item); wrong != "" {
			return wrong
		}
	}
	return ""
}

// setStopSignal makes a signal one that stops, and what the main child gets for TERM.
func (c *call) setStopSignal(text string) (wrong string) {
	var sig uint8
	if wrong := signal(text, &sig); wrong != "" {
		return wrong
	}
	if sig == sigKILL || sig == sigSTOP || sig == sigCHLD {
		return quote(text) + " cannot be forwarded"
	}
	c.stops(int(sig))
	c.Forward[sigTERM] = sig
	return ""
}

// rewrite sets what is sent for a signal: A:B, and A:0 for nothing.
func (c *call) rewrite(text string) (wrong string) {
	from, to, ok := strings.Cut(text, ":")
	a, okA := ParseSignal(from)
	b, okB := ParseSignal(to)
	if !ok || !okA || !okB && to != "0" {
		return quote(text) + " is no rewrite: SIGNAL:SIGNAL, as TERM:QUIT or 15:3, or SIGNAL:0 to drop it"
	}
	if a == sigKILL || a == sigSTOP || a == sigCHLD {
		return quote(text) + ": " + SignalName(int(a)) + " never reaches an init"
	}
	c.Forward[a] = b
	if b == 0 {
		c.Stop[a] = false
	}
	return ""
}

func (c *call) setWarn(text string) (wrong string) {
	switch text {
	case "off", "0", "no", "false":
		c.WarnZombies = 0
	case "", "on", "1", "yes", "true":
		c.WarnZombies = defaultWarn
	default:
		if wrong := duration(text, &c.WarnZombies); wrong != "" {
			return wrong
		}
		c.WarnZombies = max(c.WarnZombies, time.Second)
	}
	return ""
}

// remapExit turns one exit code into another: N=M, or N for N=0.
func (c *call) remapExit(text string) (wrong string) {
	from, to, given := strings.Cut(text, "=")
	n, err := strconv.ParseUint(from, 10, 8)
	m, err2 := strconv.ParseUint(to, 10, 8)
	if err != nil || given && err2 != nil {
		return quote(text) + " is no exit code: N or N=M, both from 0 to 255"
	}
	c.Remap[n] = uint8(m)
	return ""
}

func (c *call) setUser(text string) (wrong string) {
	uid, gid, given := strings.Cut(text, ":")
	u, err := strconv.ParseUint(uid, 10, 31)
	g, err2 := u, error(nil)
	if given {
		g, err2 = strconv.ParseUint(gid, 10, 31)
	}
	if err != nil || err2 != nil {
		return quote(text) + " is not UID or UID:GID in numbers: a name would need a passwd file in the image"
	}
	c.User = &User{UID: int(u), GID: int(g)}
	return ""
}

// unknown is the refusal of an option that the dialect does not have.
func (c *call) unknown(name string, known []string) *Refusal {
	for _, k := range known {
		if k == name+"=" {
			return c.refuse(name+": the value is missing", c.Name+" --help")
		}
	}
	if whose := foreign(name); whose != "" {
		return c.refuse(name+": not an option of "+string(c.Dialect)+", but of "+whose, c.Name+" --help, or --dialect "+strings.Fields(whose)[0])
	}
	if near := nearest(name, known); near != "" {
		return c.refuse(printable(name)+": unknown option", near)
	}
	return c.refuse(printable(name)+": unknown option", c.Name+" --help")
}

// foreign names the dialects that have an option which ours has not.
func foreign(name string) string {
	switch name {
	case "-w", "-l":
		return "tini"
	case "-c", "--single-child", "-r":
		return "dumb-init"
	case "-P", "-L":
		return "catatonit"
	case "--skip-startup-files", "--skip-runit", "--no-kill-all-on-exit", "--quiet", "--enable-insecure-key":
		return "my_init"
	}
	return ""
}

// nearest is the known option that differs least, if that is little.
func nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		k = strings.TrimRight(k, "=[")
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or change.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			change := before[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, before[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
