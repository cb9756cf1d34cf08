package errtext

import (
	"bytes"
	"iter"
	"strings"
)

// A record is one message: a line with the lines that continue it, unescaped.
type record struct {
	no      int
	last    int // number of its last line
	text    string
	low     string // text in lower case, same offsets
	program string
	source  string
	fields  bool // it was logfmt, as daemons in Go but kubelet write it
	caller  bool // with the function or source file that wrote it
	bad     bool // its level says that it is an error
	warns   bool
	times   int
}

// terminal is how many columns most terminals have: what is copied out of one
// is cut there, in the midst of words.
const terminal = 80

// mostLines bounds the lines of one record: a program's multi-line output.
const mostLines = 40

// records splits a text into messages.
func records(text []byte) iter.Seq[record] {
	return func(yield func(record) bool) {
		var open line
		last := 0
		no := 0
		all := indentation(text)
		for raw := range bytes.Lines(text) {
			no++
			raw = raw[min(all, len(raw)):]
			l := line{no: no, text: clean(string(raw[:min(len(raw), longest)])), times: 1}
			l.width = len(strings.TrimRight(l.text, "\r\n"))
			if l.peel(); l.text == "" {
				continue // it ends nothing: what goes on says so
			}
			if open.no > 0 && no-open.no < mostLines && len(open.text) < longest {
				l.sameName(open)
				if glue, ok := continues(open, l, no-last); ok {
					if open.width != terminal && open.width != open.wrap && !open.full || glue != "" {
						l.text = strings.TrimLeft(l.text, " \t")
					}
					open.text += glue + l.text
					if glue == "" && l.width == open.width {
						open.wrap = l.width
					}
					last, open.width, open.full = no, l.width, l.full
					continue
				}
			}
			if open.no > 0 && !yield(open.record(last)) {
				return
			}
			open, last = l, no
		}
		if open.no > 0 {
			yield(open.record(last))
		}
	}
}

// unframe takes a line out of the box that a terminal's user interface draws
// around its text: "│ text │".
func (l *line) unframe() bool {
	inner, ok := strings.CutPrefix(strings.TrimLeft(l.text, " "), "│")
	if ok = ok && strings.HasSuffix(inner, "│"); ok {
		inner = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(inner, " "), "│"), " ")
		l.text = strings.TrimRight(inner, " ")
		l.full = inner != "" && l.text == inner
	}
	return ok
}

// indentation tells how many spaces or tabs each line of a text begins with, but for empty ones.
func indentation(text []byte) int {
	least := longest
	for raw := range bytes.Lines(text) {
		if n := len(raw) - len(bytes.TrimLeft(raw, " \t")); n < least && n < len(bytes.TrimRight(raw, "\r\n")) {
			if least = n; n == 0 {
				return 0
			}
		}
	}
	return least % longest
}

func (l line) record(last int) record {
	l.unwrap()
	text := unescape(l.text)
	return record{no: l.no, last: last, text: text, low: withoutLayers(lower(text)), program: l.program, source: l.source, fields: l.fields, caller: l.caller || hasWord(l.name, storageWords), bad: l.bad, warns: l.warns, times: l.times}
}

// sameName takes the name off a line that goes on with a line of that name.
func (l *line) sameName(open line) {
	if rest, ok := strings.CutPrefix(l.text, open.name+" "); ok && open.name != "" {
		l.text = rest
	}
}

// continues tells whether next goes on with what open says, and what is put
// between them: nothing if the end of open's last word is on next.
func continues(open, next line, distance int) (glue string, ok bool) {
	text := strings.TrimLeft(next.text, " \t")
	caused := strings.HasPrefix(text, "Caused by:") // behind an empty line, as programs in Rust print it
	if next.program != "" && next.program == open.program && next.source == "" && distance == 1 && (hasPrefix(text, outputs) || isOfTool(text) && saysStatus(open.text)) {
		return "\n", true // journald gives each line of one message a header of its own
	}
	if text == "" || next.headed || open.text == "" || distance > 1 && !caused && !(hasPrefix(text, outputs) && strings.Contains(open.text, "exit status ")) {
		return "", false
	}
	if caused {
		return "\n", true
	}
	if idGoesOn(open.text, text) {
		return "", true
	}
	for _, field := range []string{"level=", "msg=", "error="} {
		if strings.HasPrefix(text, field) && strings.HasPrefix(open.text, "time=") {
			return " ", true
		}
	}
	if strings.IndexByte("OoMU*wfmE", text[0]) >= 0 && (hasPrefix(text, outputs) || hasPrefix(text, []string{"* ", "what():", "mount warning:"}) || strings.HasPrefix(text, "failed: ") && !strings.HasPrefix(text, "failed: [") || strings.HasPrefix(text, "Error:") && strings.HasSuffix(open.text, ":")) {
		return "\n", true
	}
	if text[0] == ',' || strings.IndexByte("])", text[0]) >= 0 && strings.Count(open.text, "[") > strings.Count(open.text, "]") || isOutput(open.text, text) {
		return "\n", true
	}
	if (open.full || isCut(open, next)) && !starts(text) {
		return "", true
	}
	if valueIsOpen(open.text) {
		return "\n", true
	}
	if starts(text) {
		return "\n", isOfTool(text) && saysStatus(open.text)
	}
	if isIndented(next.text) && !isIndented(open.text) && isOfTool(open.text) {
		return "\n", true
	}
	if quoteIsOpen(open.text) || strings.Count(open.text, "(") > strings.Count(open.text, ")") {
		return " ", true
	}
	if open.program == "kernel" && (open.width > terminal*2/3 || strings.Count(open.text, `"`)%2 == 1) && (isLetter(text[0]) && !isUpper(text[0]) || text[0] == '/') {
		return " ", true // mail breaks lines between words
	}
	return "\n", open.headed && open.hasMore(next) || endsOpen(open.text)
}

// outputs begin the lines of an error that say which program failed, and what it said.
var outputs = []string{"Output:", "output:", "Mounting command:", "Mounting arguments:", "Unmounting arguments:"}

// hasPrefix tells whether s begins with one of the words.
func hasPrefix(s string, words []string) bool {
	for _, w := range words {
		if strings.HasPrefix(s, w) {
			return true
		}
	}
	return false
}

// idGoesOn tells that a wrap cut an id of 64 digits in two.
func idGoesOn(head, tail string) bool {
	a, b := trailing(head, isHex), leading(tail, isHex)
	return a > 0 && b > 0 && a+b == 64
}

// ends are the last words of most errors.
var ends = []string{"busy", "use", "directory", "exceeded", "failed", "empty", "denied", "permitted", "found", "error", "argument", "device", "connected", "handle", "exists", "refused", "closed", "out", "mounted"}

// isCut tells that a terminal cut a line in two: it is as wide as most terminals
// are, or as the lines next to it. A line that ends as errors do is whole, and no
// word goes on with a capital, or hardly any does: that is the next message.
func isCut(open, next line) bool {
	if strings.HasPrefix(open.text, next.text) {
		return false // the same again
	}
	first, last := next.text[0], open.text[len(open.text)-1]
	word := open.text[len(open.text)-trailing(open.text, isLetter):]
	if isUpper(first) && isLetter(last) && !isUpper(last) || contains(ends, word) {
		return false
	}
	if open.width == terminal || open.width == open.wrap {
		return next.width <= open.width
	}
	return open.width > terminal/2 && open.width == next.width && isPathByte(first) && isPathByte(last)
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func isPathByte(c byte) bool {
	return isLetter(c) || isUpper(c) || isDigit(c) || strings.IndexByte("/_-=:~", c) >= 0
}

// starts tells that a line begins a message though it has no header: what
// clients print, a shell's prompt, a row of a table of events.
func starts(text string) bool {
	for _, begin := range []string{"Error response from daemon", "Error:", "Error ", "ERROR:", "error:", "Warning ", "Normal ", "time=", "{", "$ ", "# ", "```", "goroutine "} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	word, _, ok := strings.Cut(text, ": ")
	return ok && programs[word] != "" || isEcho(text)
}

// hasMore tells that a message with a header may go on without one: those of log
// files and of daemons that have many lines. Others' do if they are indented, as
// journalctl prints them.
func (l line) hasMore(next line) bool {
	known := programs[l.program]
	return known != "kernel" && (l.program == "" || l.source != "" || known != "" && known != "systemd" || isIndented(next.text))
}

// isOutput tells that text is more of what a tool said, which open quotes: "rbd
// output: rbd: sysfs write failed".
func isOutput(open, text string) bool {
	_, said, ok := strings.Cut(open, "output: ")
	name, _, named := strings.Cut(said, ": ")
	return ok && named && programs[name] == tool && (!starts(text) || strings.HasPrefix(text, name+": "))
}

// isIndented tells a line of a program's sentence that is not its first.
func isIndented(text string) bool {
	return strings.HasPrefix(text, "\t") || strings.HasPrefix(text, "    ")
}

// isOfTool tells that a line begins with the name of a program that is no daemon.
func isOfTool(text string) bool {
	name, _, ok := strings.Cut(text, ": ")
	return ok && programs[name] == tool
}

// saysStatus tells that a message ends in a program's exit status: what the
// program itself said follows.
func saysStatus(text string) bool {
	text = strings.TrimRight(text, " :,0123456789")
	return strings.HasSuffix(text, "exit status") || strings.HasSuffix(text, "exit code")
}

// quoteIsOpen tells that a quoted field of a log line has no end yet.
func quoteIsOpen(text string) bool {
	if _, value, ok := strings.Cut(strings.TrimLeft(text, " \t-"), ": "); ok && (value[:min(1, len(value))] == "'" || value[:min(1, len(value))] == `"`) && !strings.Contains(text[:len(text)-len(value)-2], "=") {
		return strings.Count(value, value[:1])%2 == 1 // YAML
	}
	if !strings.Contains(text, `="`) && !strings.Contains(text, ` caused "`) {
		return false
	}
	return (strings.Count(text, `"`)-strings.Count(text, `\"`))%2 == 1
}

// valueIsOpen tells that a field of several lines has no end yet: klog puts it
// between < and >.
func valueIsOpen(text string) bool {
	i := strings.LastIndex(text, "=<\n")
	return strings.HasSuffix(text, "=<") || i >= 0 && !strings.Contains(text[i:], "\n>")
}

// endsOpen tells that a message announces more.
func endsOpen(text string) bool {
	for _, end := range []string{":", "=>", ",", "(", "caused", "occurred:", " =", "\\"} {
		if strings.HasSuffix(text, end) {
			return true
		}
	}
	return false
}
