package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes a text safe for a terminal: one line, no escape sequence, no
// character that reorders or hides others, no byte that is not UTF-8. What is
// changed is shown as \n, \x1b or \u202e.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case plain(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

// plain reports whether a rune prints as itself: no control, format (bidi,
// zero width), private or unassigned character.
func plain(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }

// A style is a colour of a terminal, as the parameter of its escape sequence.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	yellow style = "33"
	blue   style = "34"
)

// A styled text keeps its colour through [page.line].
type styled struct {
	style
	text string
}

// A page is text for people. Everything that is put on it, but for formats
// that stand in the program, is made printable, so no container can forge it.
type page struct {
	w     io.Writer
	width int
	color bool
	err   error // of the first write that failed
}

// line prints one line. Strings among args are made printable.
func (p *page) line(format string, args ...any) {
	for i, a := range args {
		args[i] = p.safe(a)
	}
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *page) safe(a any) any {
	switch a := a.(type) {
	case styled:
		text := printable(a.text)
		if !p.color || a.style == "" {
			return text
		}
		return "\x1b[" + string(a.style) + "m" + text + "\x1b[0m"
	case string:
		return printable(a)
	case error:
		return printable(a.Error())
	case fmt.Stringer:
		return printable(a.String())
	}
	return a
}

// para prints a text after a label, wrapped to the page's width with later lines indented below it.
func (p *page) para(label string, text string) {
	indent := len(label)
	first := true
	for _, line := range wrap(printable(text), max(30, p.width-indent)) {
		if !first {
			label = strings.Repeat(" ", indent)
		}
		p.line("%s%s", label, line)
		first = false
	}
}

// wrap breaks a text into lines of at most width characters where there is a space.
func wrap(text string, width int) []string {
	var lines []string
	line, n := "", 0
	for word := range strings.FieldsSeq(text) {
		length := utf8.RuneCountInString(word)
		if n > 0 && n+1+length > width {
			lines = append(lines, line)
			line, n = "", 0
		}
		if n > 0 {
			line += " "
			n++
		}
		line += word
		n += length
	}
	return append(lines, line)
}

// table prints rows below a header in columns as wide as they need to be; the
// last column is cut to the page's width.
func (p *page) table(header []string, rows [][]string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i := range row {
			row[i] = printable(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for n, row := range append([][]string{header}, rows...) {
		var b strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				b.WriteString(cell)
				break
			}
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		text := strings.TrimRight(b.String(), " ")
		if n == 0 {
			p.line("%s", styled{bold, text})
			continue
		}
		p.line("%s", text)
	}
}
