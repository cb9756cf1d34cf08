package errtext

import "strings"

// isEcho tells that a line is a command that somebody typed: a prompt, a word
// in lower case that is not the name in front of an error.
func isEcho(text string) bool {
	text = strings.TrimLeft(text, " \t")
	rest := ""
	switch i := strings.IndexAny(text[:min(len(text), 80)], "$#"); {
	case i == 0:
		rest = text[1:]
	case i > 0 && (strings.ContainsAny(text[:i], "@~]") || isShell(text[:i])) && !strings.Contains(text[:i], ": "):
		rest = text[i+1:]
	default:
		return false
	}
	rest = strings.TrimLeft(rest, " ")
	n := leading(rest, func(c byte) bool { return c != ' ' })
	return n > 0 && 'a' <= rest[0] && rest[0] <= 'z' && !strings.HasSuffix(rest[:n], ":")
}

// isShell tells a prompt of a shell without settings: "sh-4.4".
func isShell(prompt string) bool {
	name, version, ok := strings.Cut(prompt, "-")
	return ok && (name == "sh" || name == "bash") && version != "" && leading(version, func(c byte) bool { return isDigit(c) || c == '.' }) == len(version)
}

// A command is what somebody typed before a program's errors.
type command struct {
	program, path string // path is the only one, "" if there are none or many
	line          int
}

// commandOf reads an echo.
func commandOf(r *record) command {
	typed, _, _ := strings.Cut(r.text, "\n")
	words := strings.Fields(typed[strings.IndexAny(typed, "$#")+1:])
	if len(words) > 1 && words[0] == "sudo" {
		words = words[1:]
	}
	c := command{line: r.last}
	paths := 0
	for i, word := range words {
		if i == 0 {
			c.program = word[strings.LastIndexByte(word, '/')+1:]
		} else if strings.HasPrefix(word, "/") {
			c.path = word
			paths++
		}
	}
	if paths != 1 {
		c.path = ""
	}
	return c
}

// cutLine takes the first line off a record of several: a prompt and what came
// of the command, as one field of a log line. That may have a header of its own.
func (r *record) cutLine() bool {
	i := strings.IndexByte(r.text, '\n')
	if i <= 0 || r.text[i-1] == '\\' { // the command goes on
		return false
	}
	rest := line{no: r.no, text: r.text[i+1:], program: r.program, bad: r.bad, warns: r.warns, times: r.times}
	rest.peel()
	*r = rest.record(r.last)
	return true
}

// complete fills in what an error is about that does not say so: what the
// command named whose error it is.
func (c *command) complete(e *Event, r *record) {
	if c.path == "" || r.no != c.line+1 || !strings.HasPrefix(r.low, c.program+": ") {
		return
	}
	c.line = r.last // more of its errors may follow
	if e.Path != "" || e.Device != "" {
		return
	}
	if e.Family == DeviceBusy && isDevPath(c.path) {
		e.Device = c.path
	} else if e.Family == MountBusy && !isDevPath(c.path) {
		e.Path = c.path
	}
}
