package godump

import (
	"bytes"
	"io"
)

// longest is how much of a line is read. Go's own lines stay far below: a function's
// name is bounded by its source, and arguments are at most ten words.
const longest = 64 << 10

// lines cuts a text at its newlines, and at those that a log escaped, at any
// depth: \n, \\n. So a dump that is a single line of a gigabyte is read as well.
type lines struct {
	r                io.Reader
	buf              []byte // more than twice longest, so there is always room to read
	start, seen, end int    // of the line, of what was searched, of what was read
	newline, clear   int    // where one was found, up to where there is none: a buffer has thousands of escaped lines before it
	err              error
	skipping         bool // the rest of a line that is too long
	unended          bool // the last line has no newline
	escaped          bool // the line that next gave ended with an escape, not with a newline
	long             int
	dropped          int64
}

// next gives one line, which is valid until the next call.
func (l *lines) next() ([]byte, bool) {
	for {
		at, n, found := l.terminator()
		switch {
		case found && l.skipping:
			l.dropped += int64(at - l.start)
			l.start, l.seen, l.skipping = at+n, at+n, false
		case found && at-l.start <= longest:
			line := l.buf[l.start:at]
			l.escaped = l.buf[at] == '\\'
			l.start, l.seen = at+n, at+n
			return line, true
		case l.skipping && l.err != nil, l.start == l.end && l.err != nil:
			l.dropped += int64(l.end - l.start)
			l.start = l.end
			return nil, false
		case l.skipping:
			keep := min(l.end, l.seen) // a backslash at the end may belong to a newline
			l.dropped += int64(keep - l.start)
			l.start = keep
			l.fill()
		case l.end-l.start > longest:
			line := l.buf[l.start : l.start+longest]
			l.start += longest
			l.seen, l.skipping, l.escaped = l.start, true, true
			l.long++
			return line, true
		case l.err != nil:
			line := l.buf[l.start:l.end]
			l.start, l.seen, l.escaped, l.unended = l.end, l.end, false, true
			return line, true
		default:
			l.fill()
		}
	}
}

// terminator finds the end of the line, and how many bytes it is made of.
func (l *lines) terminator() (at, n int, found bool) {
	p := l.buf[l.seen:l.end]
	limit, whole := l.nextNewline()
	for from := 0; from < limit; {
		k := bytes.IndexByte(p[from:limit], '\\')
		if k < 0 {
			break
		}
		k += from
		m := k
		for m < len(p) && p[m] == '\\' {
			m++
		}
		if m == len(p) && l.err == nil && m-k < 64 { // what follows it was not read yet
			l.seen += k
			return 0, 0, false
		}
		if m < len(p) && p[m] == 'n' {
			return l.seen + k, m - k + 1, true
		}
		from = m
	}
	if !whole {
		l.seen = l.end
		return 0, 0, false
	}
	return l.seen + limit, 1, true
}

// nextNewline gives how far it is from what was searched, or how much there is without one.
func (l *lines) nextNewline() (int, bool) {
	if l.newline < l.seen {
		from := max(l.seen, l.clear)
		k := bytes.IndexByte(l.buf[from:l.end], '\n')
		if k < 0 {
			l.clear = l.end
			return l.end - l.seen, false
		}
		l.newline = from + k
	}
	return l.newline - l.seen, true
}

func (l *lines) fill() {
	if l.start > 0 {
		copy(l.buf, l.buf[l.start:l.end])
		l.end, l.seen, l.newline, l.clear, l.start = l.end-l.start, l.seen-l.start, l.newline-l.start, l.clear-l.start, 0
	}
	for range 100 {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		l.err = err
		if n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}

func (l *lines) failed() error {
	if l.err == io.EOF {
		return nil
	}
	return l.err
}

// messages are the names that logs in JSON give to what was logged: a stack first,
// which may be beside a message.
var messages = [][]byte{[]byte(`"stack"`), []byte(`"stacktrace"`), []byte(`"MESSAGE"`), []byte(`"log"`), []byte(`"msg"`), []byte(`"message"`)}

// message takes what was logged out of a line that has a JSON object, or a field of
// one. The object may have been cut at a newline in the message.
func message(line []byte) []byte {
	if bytes.IndexByte(line, '"') < 0 {
		return line
	}
	for _, name := range messages {
		_, value, ok := bytes.Cut(line, name)
		if !ok {
			continue
		}
		if value, ok = bytes.CutPrefix(bytes.TrimLeft(value, " "), []byte(":")); !ok {
			continue
		}
		if value, ok = bytes.CutPrefix(bytes.TrimLeft(value, " "), []byte(`"`)); !ok {
			continue
		}
		for i := 0; i < len(value); i++ {
			if value[i] == '\\' {
				i++
			} else if value[i] == '"' {
				return value[:i]
			}
		}
		return value
	}
	return line
}

// uncolor drops the color sequences of a terminal, in place.
func uncolor(b []byte) []byte {
	if bytes.IndexByte(b, 0x1b) < 0 {
		return b
	}
	out := b[:0]
	for i := 0; i < len(b); i++ {
		if b[i] == 0x1b && i+1 < len(b) && b[i+1] == '[' {
			end := i + 2
			for end < len(b) && (isDigit(b[end]) || b[end] == ';') {
				end++
			}
			if end < len(b) && b[end] == 'm' {
				i = end
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}

// unescape undoes what logs do to tabs, quotes and angle brackets, in place.
// Backslashes of any number count as one.
func unescape(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := b[:0]
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		for i+1 < len(b) && b[i+1] == '\\' {
			i++
		}
		if i++; i == len(b) {
			break
		}
		switch c := b[i]; {
		case c == 't':
			out = append(out, '\t')
		case c == 'r':
		case c == 'u' && i+4 < len(b) && b[i+1] == '0' && b[i+2] == '0' && isHex(b[i+3]) && isHex(b[i+4]):
			out = append(out, hexOf(b[i+3])<<4|hexOf(b[i+4]))
			i += 4
		default:
			out = append(out, c)
		}
	}
	return out
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func hexOf(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
