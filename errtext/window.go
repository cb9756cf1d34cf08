package errtext

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// A window is what a text was copied out of: its lines are broken at that width.
type window struct {
	width int
	cuts  bool // in the midst of words, at the last column
	wraps bool // between words, where the next one has no room: several lines show it
}

// widest is how wide a window may be; longer lines were never broken.
const widest = 400

// windowOf finds the width at which lines of a text were broken: that of the
// longest. If it cuts there are several of that width; if it wraps then the first
// word of the next line has no room on most.
func windowOf(lines iter.Seq[line]) window {
	var w window
	for l := range lines {
		if l.columns() > w.width && strings.Contains(strings.TrimSpace(l.text), " ") {
			w.width = l.columns()
		}
	}
	if w.width < narrowest || w.width > widest {
		return window{}
	}
	whole, filled, before := 0, 0, 0
	for l := range lines {
		word := firstWord(strings.TrimLeft(l.text, " \t"))
		if before > 0 && before < w.width && word != "" && before+1+utf8.RuneCountInString(word) > w.width {
			filled++
		}
		if before = l.columns(); before == w.width {
			whole++
		}
	}
	w.cuts = whole > 1 && whole > filled
	w.wraps = filled > 0 && !w.cuts
	return w
}

// isFull tells that a line ends at the window's edge, or at that of most terminals.
func (w window) isFull(columns int) bool {
	return isTerminal(columns) || w.cuts && columns == w.width
}

// links are words that begin no message.
var links = []string{"to", "for", "of", "with", "by", "on", "in", "at", "or", "and", "from", "is", "was", "are", "not", "that", "while", "since", "but", "be", "been", "the", "as", "into", "which", "when", "it", "this", "than", "after", "before", "already", "because"}

// isWrapped tells that a window wrapped a sentence between two words: the next has
// no room on the line, and begins no message. Where one line alone shows that, the
// words on both sides must belong together.
func (w window) isWrapped(open, next *line, text string) bool {
	columns, word := open.columns(), firstWord(text)
	if w.cuts || w.width == 0 || isEcho(open.text) || columns+1+utf8.RuneCountInString(word) <= w.width || next.columns() > w.width && word != text {
		return false
	}
	last, lastWord := open.text[len(open.text)-1], open.text[len(open.text)-trailing(open.text, isLetter):]
	switch {
	case !w.wraps && columns < narrowest:
		return false
	case contains(links, word):
		return true
	case strings.IndexByte(".;]})>", last) >= 0 && (!w.wraps || isUpper(text[0])):
		return false
	case contains(ends, lastWord) && (!w.wraps || !isLetter(text[0]) || isUpper(text[0])):
		return false
	case strings.IndexByte(",:=", last) >= 0 || contains(links, lastWord) || contains(verbs, lastWord):
		return true
	case isUpper(text[0]) || !w.wraps && text[0] == '/':
		return false
	case w.wraps:
		return true
	}
	return lastWord != "" && (contains(cutWords, word) && contains(cutWords, lastWord) || leading(word, isHex) == 64 || text[0] == '"')
}

// brokenOff tells that a window broke open's sentence where next begins, and what
// is put between them.
func (w window) brokenOff(open, next *line, text string) (glue string, ok bool) {
	if starts(text) {
		return "", false
	}
	if w.wraps && w.isWrapped(open, next, text) {
		return " ", true
	}
	if w.isCut(open, next) {
		if spaced := next.text[0] == ' ' && !w.isFull(open.columns()) && open.columns() != open.wrap; spaced || strings.HasSuffix(open.text, ":") && isLetter(next.text[0]) || leading(text, isHex) == 64 && isLetter(open.text[len(open.text)-1]) {
			return " ", true // a space is behind a colon, and before an id
		}
		return strings.Repeat(" ", min(open.spaces, 1)), true
	}
	if w.isWrapped(open, next, text) {
		return " ", true
	}
	return "", false
}

func firstWord(s string) string { return s[:leading(s, func(c byte) bool { return c != ' ' })] }
