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
	calm    bool // its level says that it is neither
	times   int
}

// mostLines bounds the lines of one record: a program's multi-line output.
const mostLines = 40

// records splits a text into messages.
func records(text []byte) iter.Seq[record] {
	return func(yield func(record) bool) {
		var open line
		last := 0
		lines := linesOf(text)
		w := windowOf(lines)
		for l := range lines {
			if l.peel(); l.text == "" {
				continue // it ends nothing: what goes on says so
			}
			if open.no > 0 && l.no-open.no < mostLines && len(open.text) < longest {
				l.sameName(open)
				if glue, ok := w.continues(&open, &l, l.no-last); ok {
					if !w.isFull(open.columns()) && open.columns() != open.wrap && !open.full || glue != "" {
						l.text = strings.TrimLeft(l.text, " \t")
					}
					open.text += glue + l.text
					if glue == "" && !open.full && l.columns() == open.columns() {
						open.wrap = l.columns()
					}
					last, open.width, open.spaces, open.full = l.no, l.columns(), l.spaces, l.full
					continue
				}
			}
			if open.no > 0 && !yield(open.record(last)) {
				return
			}
			open, last = l, l.no
		}
		if open.no > 0 {
			yield(open.record(last))
		}
	}
}

// linesOf gives the lines of a text as they were seen, without the indentation of all,
// and what each has before it. They are read anew each time: a text may have more than
// there is memory for.
func linesOf(text []byte) iter.Seq[line] {
	all := indentation(text)
	lines := cleaned(text, all, nil)
	var margins []func(*line) bool
	for _, margin := range []func(*line) bool{(*line).quoteMark, (*line).stream} {
		if hasMargin(lines, margin) {
			margins = append(margins, margin)
		}
		lines = cleaned(text, all, margins)
	}
	return lines
}

func cleaned(text []byte, indent int, margins []func(*line) bool) iter.Seq[line] {
	return func(yield func(line) bool) {
		no := 0
		for raw := range bytes.Lines(text) {
			no++
			raw = raw[min(indent, len(raw)):]
			l := line{no: no, text: clean(string(raw[:min(len(raw), longest)])), spaces: spacesAt(raw), times: 1}
			for _, margin := range margins {
				margin(&l)
			}
			if l.whole = l.text; !yield(l) {
				return
			}
		}
	}
}

// hasMargin tells that each line has something before it.
func hasMargin(lines iter.Seq[line], margin func(*line) bool) bool {
	for l := range lines {
		if l.text != "" && !margin(&l) {
			return false
		}
	}
	return true
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

func (l *line) record(last int) record {
	l.unwrap()
	text := completed(unescape(withoutEntities(l.text)))
	return record{no: l.no, last: last, text: text, low: withoutLayers(lower(text)), program: l.program, source: l.source, fields: l.fields, caller: l.caller || hasWord(l.name, storageWords), bad: l.bad, warns: l.warns, calm: l.calm, times: l.times}
}

// sameName takes the name off a line that goes on with a line of that name.
func (l *line) sameName(open line) {
	if rest, ok := strings.CutPrefix(l.text, open.name+" "); ok && open.name != "" {
		l.text = rest
	}
}

// continues tells whether next goes on with what open says, and what is put
// between them: nothing if the end of open's last word is on next.
func (w window) continues(open, next *line, distance int) (glue string, ok bool) {
	text := strings.TrimLeft(next.text, " \t")
	if text == "" || open.text == "" {
		return "", false
	}
	caused := isCaused(open.text, text)
	if distance > 1 && !caused {
		return "", false
	}
	if next.headed {
		return "\n", next.program == open.program && next.source == "" &&
			(goesOn(open.text, text) || next.program != "" && isOfTool(text) && saysStatus(open.text)) // each line of the message has the header
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
	if goesOn(open.text, text) {
		return "\n", true
	}
	if takesPath(open.text, text) && !isEcho(open.text) {
		return " ", true
	}
	if open.columns() >= narrowest && !starts(text) {
		if glue, ok := phraseGoesOn(open.text, text); ok {
			return glue, true
		}
	}
	if text[0] == ',' || strings.IndexByte("])", text[0]) >= 0 && strings.Count(open.text, "[") > strings.Count(open.text, "]") || isOutput(open.text, text) {
		return "\n", true
	}
	if open.full && !starts(text) {
		return "", true
	}
	if glue, ok := w.brokenOff(open, next, text); ok {
		return glue, true
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
	if open.program == "kernel" && (open.columns() > terminal*2/3 || strings.Count(open.text, `"`)%2 == 1) && (isLetter(text[0]) && !isUpper(text[0]) || text[0] == '/') {
		return " ", true // mail breaks lines between words
	}
	return "\n", open.headed && open.hasMore(next) || endsOpen(open.text)
}

// isCaused tells that a text continues what open says though empty lines are
// between: a cause as programs in Rust print it, a list's line as those in Go do,
// what the program printed whose exit status open tells.
func isCaused(open, text string) bool {
	switch text[0] {
	case 'C':
		return strings.HasPrefix(text, "Caused by:")
	case '*':
		return strings.HasPrefix(text, "* ") && strings.Contains(open, "occurred:\n")
	}
	return hasPrefix(text, outputs) && strings.Contains(open, "exit status ")
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

// goesOn tells by its first words that a text continues what open says.
func goesOn(open, text string) bool {
	if strings.IndexByte("OoMU*wfmE", text[0]) < 0 {
		return false
	}
	switch {
	case strings.HasPrefix(text, "failed: "):
		return !strings.HasPrefix(text, "failed: [")
	case strings.HasPrefix(text, "Error:"):
		return strings.HasSuffix(open, ":")
	}
	return hasPrefix(text, outputs) || hasPrefix(text, []string{"* ", "what():", "mount warning:"})
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
	return ok && programs[word] != "" || isEcho(text) || isFields(text)
}

// hasMore tells that a message with a header may go on without one: those of log
// files and of daemons that have many lines. Others' do if they are indented, as
// journalctl prints them.
func (l *line) hasMore(next *line) bool {
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
