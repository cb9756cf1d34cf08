package errtext

import (
	"encoding/json"
	"html"
	"strings"
)

// longest is how much of a line, and of a record, is read. Real error lines stay
// under 16 KiB, where dockerd and journald cut them.
const longest = 64 << 10

// typed turns what web pages, word processors and translations make of quotes,
// brackets and colons back into what a terminal shows.
var typed = strings.NewReplacer(
	"‘", "'", "’", "'", "“", `"`, "”", `"`, "\u00a0", " ", "\ufeff", "", "`", "'",
	"：", ": ", "，", ", ", "。", ". ", "（", " (", "）", ") ", "；", "; ",
)

// escaped turns what JSON makes of HTML's signs back.
var escaped = strings.NewReplacer(`\u003e`, ">", `\u003c`, "<", `\u0026`, "&", `\u0022`, `"`, `\u0027`, "'")

// clean takes out of a line what is not text: colors, NUL, CR and other control
// characters. Tabs stay.
func clean(s string) string {
	if len(s) > longest {
		s = s[:longest]
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		s = printable(s)
	}
	s = typed.Replace(withoutMarkup(s))
	if !strings.Contains(s, `{"`) { // in an object a quote that is undone would end its string
		s = withoutEntities(s)
	}
	return strings.TrimRight(s, " \t")
}

// longestEntity is how long the name of a character may be in HTML.
const longestEntity = 10

// withoutEntities undoes HTML's names of characters, and of those in them: "&lt;",
// "&amp;lt;", "&#x2F;". They end in a semicolon; a query in an URL has none.
func withoutEntities(s string) string {
	if strings.Contains(s, `\u00`) {
		s = escaped.Replace(s)
	}
	for range 2 {
		if !strings.Contains(s, "&") || !strings.Contains(s, ";") {
			return s
		}
		var b strings.Builder
		for rest := s; rest != ""; {
			i := strings.IndexByte(rest, '&')
			if i < 0 {
				i = len(rest)
			}
			b.WriteString(rest[:i])
			rest = rest[i:]
			if end := strings.IndexByte(rest[:min(len(rest), longestEntity)], ';'); end > 0 {
				b.WriteString(html.UnescapeString(rest[:end+1]))
				rest = rest[end+1:]
			} else if rest != "" {
				b.WriteByte('&')
				rest = rest[1:]
			}
		}
		s = printable(typed.Replace(b.String()))
	}
	return s
}

// tags are those of HTML and of trackers that copies of web pages have around a log.
var tags = strings.NewReplacer("<pre>", "", "</pre>", "", "<code>", "", "</code>", "", "<br>", " ", "<br/>", " ", "<br />", " ", "<p>", "", "</p>", "", "<span>", "", "</span>", "", "</div>", "", "<div>", "", "[code]", "", "[/code]", "", "{code}", "", "{noformat}", "")

// withoutMarkup takes off HTML's tags, Markdown's marks of code from a line that
// begins or ends with one, and has none inside, those of emphasis, and the quotes
// around a whole line.
func withoutMarkup(s string) string {
	if i := strings.IndexAny(s, "<[{"); i >= 0 {
		if _, html := hasAny(s[i:], "</", "<pre>", "<br", "[code]", "[/code]", "{code}", "{noformat}"); html {
			s = tags.Replace(s)
		}
	}
	if strings.Count(s, "**") == 2 && !strings.Contains(s, "/**") {
		s = strings.ReplaceAll(s, "**", "") // emphasis
	}
	t := strings.TrimSpace(s)
	if in := strings.Trim(t, "`"); in != t && !strings.Contains(in, "`") {
		return strings.Replace(s, t, in, 1)
	}
	if len(t) > 1 && t[0] == '"' && strings.IndexByte(t[1:], '"') == len(t)-2 {
		return t[1 : len(t)-1]
	}
	if in, ok := stringOf(t); ok {
		return in
	}
	return s
}

// stringOf undoes the quotes of a text that is one string of JSON, and the mark of a
// list before it.
func stringOf(s string) (string, bool) {
	var in string
	s, listed := strings.CutPrefix(s, "- ")
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || !listed && !strings.Contains(s, `\"`) || json.Unmarshal([]byte(s), &in) != nil {
		return "", false
	}
	return in, true
}

// printable drops control characters and terminal sequences: ESC [ ... letter,
// ESC ] ... BEL, ESC and one byte.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0x1b:
			i += sequence(s[i+1:])
		case c == '\t' || c >= ' ' && c != 0x7f:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// sequence gives the length of a terminal sequence after its ESC.
func sequence(s string) int {
	if s == "" {
		return 0
	}
	if s[0] != '[' && s[0] != ']' {
		return 1
	}
	for i := 1; i < len(s) && i < 64; i++ {
		if s[0] == '[' && s[i] >= '@' && s[i] <= '~' || s[0] == ']' && s[i] == 0x07 {
			return i + 1
		}
	}
	return 1
}

// lower is strings.ToLower for ASCII alone, so that offsets stay the same.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// octal is how rsyslog writes a line's end and a tab. With a backslash for the #
// it is how others do.
var octal = strings.NewReplacer("#012", "\n", "#011", "\t")

// unescape undoes quoting of any depth: \" and \\\" are a quote, \n and \\n a
// line's end.
func unescape(s string) string {
	if len(s) > 3 && strings.Contains(s, "#01") {
		s = octal.Replace(s)
	}
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		run := 0
		for i+run < len(s) && s[i+run] == '\\' {
			run++
		}
		next := byte(0)
		if i+run < len(s) {
			next = s[i+run]
		}
		switch {
		case run == 0:
			b.WriteByte(next)
			i++
		case next == '"' || next == '\'':
			b.WriteByte(next)
			i += run + 1
		case next == 'n' || next == 't':
			b.WriteByte(map[byte]byte{'n': '\n', 't': '\t'}[next])
			i += run + 1
		case next == '0' && strings.HasPrefix(s[i+run:], "012"):
			b.WriteByte('\n')
			i += run + 3
		default:
			b.WriteString(s[i : i+run])
			i += run
		}
	}
	return b.String()
}

// isHex tells a lower-case hex digit: ids are printed so.
func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// leading counts the bytes at the beginning of s that are in.
func leading(s string, in func(byte) bool) int {
	for i := 0; i < len(s); i++ {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}

// trailing counts the bytes at the end of s that are in.
func trailing(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[len(s)-1-n]) {
		n++
	}
	return n
}

// hasAny tells whether s contains one of the phrases, and where the first of
// them that it has begins.
func hasAny(s string, phrases ...string) (int, bool) {
	for _, p := range phrases {
		if i := strings.Index(s, p); i >= 0 {
			return i, true
		}
	}
	return -1, false
}
