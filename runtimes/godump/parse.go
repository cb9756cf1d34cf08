package godump

import (
	"bytes"
	"strconv"
)

// A heading is what stands in "goroutine 17 [syscall, 91275 minutes, locked to thread]:".
type heading struct {
	id       uint64
	state    []byte
	minutes  int
	locked   bool
	complete bool
	mention  bool // somebody writes of a goroutine: the header goes on otherwise
	at       int  // where it begins in its line: behind what a log put before
	end      int  // and what is behind it
}

var goroutine = []byte("goroutine ")

// parseHeading finds a header anywhere in a line. Since Go 1.23 a crash prints
// gp= m= mp= between number and state, and labels may follow it; since Go 1.26 they
// are the last that is inside of it.
func parseHeading(line []byte) (h heading, ok bool) {
	for from := 0; ; {
		k := bytes.Index(line[from:], goroutine)
		if k < 0 {
			return h, false
		}
		h.at = from + k
		from = h.at + len(goroutine)
		if h.at > 0 && isLetter(line[h.at-1]) {
			continue
		}
		rest := line[from:]
		n := 0
		for n < len(rest) && n < 20 && isDigit(rest[n]) {
			n++
		}
		var err error
		if h.id, err = strconv.ParseUint(string(rest[:n]), 10, 64); err != nil {
			continue
		}
		rest = rest[n:]
		open := bytes.IndexByte(rest, '[')
		if open < 1 || open > 100 || rest[0] != ' ' || !bytes.HasPrefix(rest[1:], []byte("gp=")) && open != 1 {
			continue
		}
		inside, after, closed := bytes.Cut(rest[open+1:], []byte("]"))
		if k := bytes.Index(inside, []byte(" labels:{")); k >= 0 {
			inside = inside[:k]
			_, after, closed = bytes.Cut(rest[open+1+k:], []byte("}]"))
		}
		if len(inside) > 200 {
			continue
		}
		if h.complete = closed && bytes.HasPrefix(after, []byte(":")); !h.complete && closed && bytes.HasPrefix(after, []byte(" {")) {
			_, after, h.complete = bytes.Cut(after, []byte("}:"))
		}
		h.mention = closed && !h.complete && len(after) > 0
		h.end = len(line) - len(bytes.TrimPrefix(after, []byte(":")))
		h.fields(inside)
		return h, true
	}
}

// fields reads "chan receive (scan), 5 minutes, locked to thread".
func (h *heading) fields(inside []byte) {
	for i := 0; len(inside) > 0; i++ {
		var field []byte
		field, inside, _ = bytes.Cut(inside, []byte(", "))
		if i == 0 {
			for _, mark := range []string{" (scan)", " (durable)", " (leaked)", " (synctest)"} {
				field = bytes.TrimSuffix(field, []byte(mark))
			}
			h.state = field
			continue
		}
		if n, ok := bytes.CutSuffix(field, []byte(" minutes")); ok {
			if m, err := strconv.Atoi(string(n)); err == nil && m >= 0 {
				h.minutes = m
			}
		}
		h.locked = h.locked || string(field) == "locked to thread"
	}
}

// parseCall finds "path/pkg.(*T).F(0x1, {0x2?, ...})" at the end of a line. A call
// that was cut inside of its arguments is one too.
func parseCall(line []byte) (name, args []byte, at int, cut, ok bool) {
	open := -1
	if n := len(line); n > 0 && line[n-1] == ')' {
		if open = bytes.LastIndexByte(line, '('); open < 0 || !areArgs(line[open+1:n-1]) {
			return nil, nil, 0, false, false
		}
		args = line[open+1 : n-1]
	} else {
		if open = bytes.LastIndexByte(line, '('); open < 0 || !areArgs(line[open+1:]) {
			return nil, nil, 0, false, false
		}
		args, cut = line[open+1:], true
	}
	at = wordStart(line[:open])
	at += lineNumber(line[at:open])
	name = line[at:open]
	if !isName(name) {
		return nil, nil, 0, false, false
	}
	return name, args, at, cut, true
}

// wordStart finds where the last word of b begins. Quotes, bars, equal signs and
// control characters end a word too: of a JSON log, of compose, of a journal's export, NUL.
func wordStart(b []byte) int {
	i := len(b)
	for i > 0 {
		if c := b[i-1]; c <= ' ' || c == '=' || c == '"' || c == '\'' || c == '|' || c == '>' || c == 0x7f || c == '@' && i > 1 && b[i-2] == '^' {
			break
		}
		i--
	}
	if bytes.HasPrefix(b[i:], []byte("#011")) { // rsyslog's tab
		i += 4
	}
	return i
}

// isName tells a function's name from other words before a parenthesis: it has a
// package and a dot, all but panic.
func isName(b []byte) bool {
	if string(b) == "panic" {
		return true
	}
	dot := bytes.LastIndexByte(b, '.')
	return dot > 0 && dot < len(b)-1 && len(b) <= longestName && (isLetter(b[0]) || b[0] == '_')
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func areArgs(b []byte) bool {
	for _, c := range b {
		if !isHex(c) && c != 'x' && c != ',' && c != ' ' && c != '{' && c != '}' && c != '?' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

// parseArgs appends the words of an argument list, at most 64 of one.
func parseArgs(to []Arg, b []byte) []Arg {
	for n := 0; n < 64; n++ {
		k := bytes.Index(b, []byte("0x"))
		if k < 0 {
			break
		}
		b = b[k+2:]
		var a Arg
		i := 0
		for i < len(b) && isHex(b[i]) {
			a.Value = a.Value<<4 | uint64(hexOf(b[i]))
			i++
		}
		a.Sure = i == len(b) || b[i] != '?'
		to = append(to, a)
		b = b[i:]
	}
	return to
}

// parseFile finds the source of a call: "/go/src/x.go:12 +0x26 fp=...". The
// indentation is often lost, and paths are relative with -trimpath.
func parseFile(line []byte) (file []byte, number, at int, ok bool) {
	for _, end := range []string{".go:", ".s:", "<autogenerated>:"} {
		k := bytes.LastIndex(line, []byte(end))
		if k < 0 {
			continue
		}
		colon := k + len(end) - 1
		i := colon + 1
		for i < len(line) && i < colon+9 && isDigit(line[i]) {
			number = number*10 + int(line[i]-'0')
			i++
		}
		if at = wordStart(line[:k]); i > colon+1 && colon-at <= longestName {
			return line[at:colon], number, at, true
		}
	}
	return nil, 0, 0, false
}

var createdBy = []byte("created by ")

// parseCreator finds "created by F", since Go 1.21 "created by F in goroutine 1".
func parseCreator(line []byte) (name []byte, at int, ok bool) {
	k := bytes.Index(line, createdBy)
	if k < 0 {
		return nil, 0, false
	}
	name, _, _ = bytes.Cut(line[k+len(createdBy):], []byte(" "))
	name = bytes.TrimRight(name, "\"\r")
	if i := bytes.LastIndexByte(name, '('); i > 0 && bytes.HasSuffix(name, []byte(")")) && i > bytes.LastIndexByte(name, '.') {
		name = name[:i]
	}
	return name, k, isName(name)
}

// writerOf finds who wrote a line in the prefix of a log: "dockerd[1748]:" or "dockerd:";
// or in that of grep, which file it is from: "stacks.log:12:".
func writerOf(prefix []byte) []byte {
	prefix = bytes.TrimRight(bytes.TrimSuffix(prefix, []byte("#011")), " \t")
	prefix, ok := bytes.CutSuffix(prefix, []byte(":"))
	if !ok {
		return nil
	}
	word := prefix[wordStart(prefix):]
	if colon := bytes.LastIndexByte(word, ':'); colon > 0 && lineNumber(append(word[colon+1:len(word):len(word)], ':')) == len(word)-colon {
		word = word[:colon]
	}
	if len(word) == 0 || len(word) > 64 || !isLetter(word[0]) && word[0] != '.' && word[0] != '/' {
		return nil
	}
	return word
}
