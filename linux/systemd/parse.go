package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// An Assignment is one line Name=Value of a section.
type Assignment struct {
	Section, Name, Value string
	Line                 int // that it begins on, from 1
}

// ErrFormat is the error of a text that is no unit file. What was read before is returned with it.
var ErrFormat = errors.New("not the format of a unit file")

// maxLine is systemd's own bound on a line, continued ones included.
const maxLine = 1 << 20

// Parse reads a unit file. Lines that end in a backslash go on in the next one,
// where comments between them are left out. Lines before the first section, and
// those without a "=", are left out as systemd does, which warns of them; the
// first such line is the error, which wraps [ErrFormat].
//
// Source: systemd.syntax(7); systemd 257 src/shared/conf-parser.c, config_parse.
func Parse(text []byte) ([]Assignment, error) {
	var out []Assignment
	var problem error
	section, begun, n := "", 0, 0
	var joined []byte // the lines before this one that go on in it
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	for raw := range bytes.Lines(text) {
		n++
		line := strings.TrimRight(string(raw), "\r\n")
		if comment := strings.TrimLeft(line, " \t"); strings.HasPrefix(comment, "#") || strings.HasPrefix(comment, ";") {
			continue
		}
		if len(joined) == 0 {
			begun = n
		}
		if len(joined)+len(line) > maxLine {
			return out, fmt.Errorf("line %d: %w: over %d bytes", begun, ErrFormat, maxLine)
		}
		if rest := strings.TrimRight(line, `\`); (len(line)-len(rest))%2 == 1 { // not one that is escaped itself
			joined = append(append(joined, line[:len(line)-1]...), ' ')
			continue
		}
		line, joined = strings.TrimSpace(string(joined)+line), joined[:0]
		a, head, ok := statement(line)
		switch {
		case line == "":
		case head != "":
			section = head
		case ok && section != "":
			a.Section, a.Line = section, begun
			out = append(out, a)
		case problem == nil:
			problem = fmt.Errorf("line %d: %w: %q", begun, ErrFormat, line[:min(len(line), 80)])
		}
	}
	if a, _, ok := statement(strings.TrimSpace(string(joined))); ok && section != "" { // cut off behind a backslash
		a.Section, a.Line = section, begun
		out = append(out, a)
	}
	return out, problem
}

// statement reads a whole line: the head of a section or an assignment.
func statement(line string) (a Assignment, section string, ok bool) {
	if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") && len(line) > 2 {
		return a, line[1 : len(line)-1], false
	}
	name, value, found := strings.Cut(line, "=")
	a.Name, a.Value = strings.TrimSpace(name), strings.TrimSpace(value)
	return a, "", found && a.Name != ""
}
