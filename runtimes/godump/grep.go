package godump

import "bytes"

// grepped takes off what grep puts before a line of a file whose name stands before
// a header: "stacks.log:" before what was looked for, "stacks.log-" before what is
// around it, and with -n the line's number behind that.
func (d *reader) grepped(line []byte) (rest []byte, ok bool) {
	if d.last == nil || d.last.writer == "" {
		return line, false
	}
	rest, ok = bytes.CutPrefix(line, []byte(d.last.writer))
	if !ok || len(rest) == 0 || rest[0] != ':' && rest[0] != '-' {
		return line, false
	}
	rest = rest[1:]
	return rest[lineNumber(rest):], true
}

// lineNumber gives the length of the "12:" or "13-" that grep -n puts before a line.
func lineNumber(b []byte) int {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	if n == 0 || n == len(b) || b[n] != ':' && b[n] != '-' {
		return 0
	}
	return n + 1
}
