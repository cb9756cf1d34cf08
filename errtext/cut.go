package errtext

import (
	"strings"
	"unicode/utf8"
)

// narrowest is how wide a window may be made in which words are cut.
const narrowest = 53

// terminal is how many columns most terminals have: what is copied out of one
// is cut there, in the midst of words. Others are as wide as people count.
const terminal = 80

func isTerminal(width int) bool {
	return width == terminal || width == 100 || width == 120 || width == 132 || width == 160 || width == 200
}

// spacesAt counts the spaces that a line ends in.
func spacesAt(raw []byte) int {
	end := len(raw)
	for end > 0 && (raw[end-1] == '\n' || raw[end-1] == '\r') {
		end--
	}
	n := 0
	for n < end && raw[end-1-n] == ' ' {
		n++
	}
	return n
}

// columns is how wide a line was as it was pasted. The spaces that it ended in
// count, since a terminal cuts behind them, too.
func (l *line) columns() int {
	if l.width == 0 {
		l.width = utf8.RuneCountInString(l.whole) + l.spaces
	}
	return l.width
}

// completed puts the end to what libc says where a log system or a pager cut it
// off: "unlinkat /x: device or reso...".
func completed(text string) string {
	if len(text) < 16 {
		return text
	}
	from := max(0, len(text)-64)
	i := strings.LastIndex(text[from:], ": ")
	if i < 0 {
		return text
	}
	head := strings.TrimRight(text[from:], "\"'\\ .…>}\n")
	if len(head)-i < len(": device") {
		return text
	}
	tail := lower(head[i+2:])
	for _, p := range cutPhrases {
		if rest, ok := strings.CutPrefix(p, tail); ok && rest != "" {
			return text[:from] + head + rest
		}
	}
	return text
}

// idGoesOn tells that a wrap cut an id of 64 digits in two.
func idGoesOn(head, tail string) bool {
	b := leading(tail, isHex)
	return b > 0 && b < 64 && trailing(head, isHex) == 64-b
}

// pathGoesOn tells that a path, or a UUID in it, was cut in two: the next line
// begins with the end of a path, which has a slash in it or a colon behind.
func pathGoesOn(head, tail string) bool {
	start := strings.LastIndexAny(head, " \t\"'=:(") + 1
	if n := trailing(head, isUUID); n > 0 && n < 36 && len(tail) >= 36-n && uuidAt(head[len(head)-n:]+tail[:36-n]) != "" {
		return true
	}
	n := leading(tail, func(c byte) bool { return isPathByte(c) || c == '.' })
	if start > 0 && start < len(head) && n > 0 && n < len(tail) && tail[n] == head[start-1] && strings.IndexByte("'\"", tail[n]) >= 0 {
		return true // the rest of what is in quotes
	}
	n -= trailing(tail[:n], func(c byte) bool { return c == ':' })
	if start == len(head) || head[start] != '/' || n == 0 || !isPathByte(head[len(head)-1]) {
		return false
	}
	if tail[0] == '/' { // a list of paths, but behind a verb
		before := strings.TrimRight(head[:start], " \"'")
		return contains(cutWords, before[len(before)-trailing(before, isLetter):]) && n < len(tail)
	}
	if isEcho(head) || strings.HasPrefix(tail[n:], ": /") || strings.HasPrefix(tail[n:], ": cannot") {
		return false // a program that has its name before its error
	}
	return strings.Contains(tail[:n], "/") || n < len(tail) && strings.IndexByte(":\"'", tail[n]) >= 0
}

func isUUID(c byte) bool { return isHex(c) || c == '-' }

// cutWords are words of most errors, which a cut leaves in pieces.
var cutWords = []string{"error", "response", "daemon", "driver", "failed", "remove", "removing", "root", "filesystem", "unlinkat", "rename", "unmount", "unmounting", "umount", "mount", "mounting", "mounted", "device", "resource", "busy", "container", "containers", "sandbox", "directory", "context", "deadline", "exceeded", "runtime", "process", "cannot", "unable", "target", "volume", "caused", "starting", "operation", "permission", "denied", "devicemapper", "overlay", "task", "timeout", "temporarily", "unavailable", "unknown", "exit", "status", "for", "such", "file", "open", "from", "service", "delete", "deleting", "cleanup"}

// wordGoesOn tells that a word was cut in two: the pieces are none of the words
// of errors, and together they are.
func wordGoesOn(head, tail string) bool {
	a, b := head[len(head)-trailing(head, isLetter):], tail[:leading(tail, isLetter)]
	return a != "" && b != "" && !contains(cutWords, a) && contains(cutWords, lower(a+b))
}

// cutPhrases are what libc and tools say of the commonest errors.
var cutPhrases = []string{"device or resource busy", "context deadline exceeded", "no such file or directory", "operation not permitted", "permission denied", "directory not empty", "invalid argument", "input/output error", "resource temporarily unavailable", "transport endpoint is not connected", "no space left on device", "device is busy", "target is busy", "dataset is busy", "stale file handle", "timed out waiting"}

// verbs stand before a path, and end no message.
var verbs = []string{"remove", "removing", "unlinkat", "unlink", "rename", "unmount", "unmounting", "umount", "mount", "mounting", "rmdir", "target", "open", "stat", "lstat", "mkdir", "write", "readlink", "path", "point"}

// phraseGoesOn tells that a sentence was cut in two, and what was between the
// pieces: a message begins with no comma, ends in no verb, and an errno's words
// belong together.
func phraseGoesOn(head, tail string) (glue string, ok bool) {
	if strings.IndexByte(":,;)", tail[0]) >= 0 {
		return "", true
	}
	if word := head[len(head)-trailing(head, isLetter):]; tail[0] == '/' && contains(verbs, word) {
		return " ", true
	}
	tail = lower(tail[:min(len(tail), 40)])
	head = lower(head[max(0, len(head)-40):])
	word := tail[:leading(tail, isLetter)]
	if whole := len(word) == len(tail) || isDigit(tail[len(word)]); word == "" || whole && len(word) < 4 || !isLetter(head[len(head)-1]) {
		return "", false
	}
	for _, p := range cutPhrases {
		at := strings.LastIndex(p, word)
		if at < 4 || !strings.HasPrefix(tail, p[at:]) || !strings.HasSuffix(head, strings.TrimRight(p[:at], " ")) {
			continue
		}
		if p[at-1] == ' ' {
			return " ", true
		}
		return "", true
	}
	return "", false
}

// ends are the last words of most errors.
var ends = []string{"busy", "use", "directory", "exceeded", "failed", "empty", "denied", "permitted", "found", "error", "argument", "device", "connected", "handle", "exists", "refused", "closed", "out", "mounted"}

// isCut tells that a terminal cut a line in two: it is as wide as most terminals
// are, or as the lines next to it. A line that ends as errors do is whole, and no
// word goes on with a capital, or hardly any does: that is the next message.
func isCut(open, next *line) bool {
	if strings.HasPrefix(open.text, next.text) {
		return false // the same again
	}
	first, last := next.text[0], open.text[len(open.text)-1]
	word := open.text[len(open.text)-trailing(open.text, isLetter):]
	if isUpper(first) && isLetter(last) && !isUpper(last) || contains(ends, word) {
		return false
	}
	if isTerminal(open.columns()) || open.columns() == open.wrap {
		return next.columns() <= open.columns()
	}
	if open.columns() >= narrowest && open.spaces == 0 && (pathGoesOn(open.text, next.text) || wordGoesOn(open.text, next.text)) {
		return true
	}
	return open.columns() > terminal/2 && open.columns() == next.columns() && isPathByte(first) && isPathByte(last)
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func isPathByte(c byte) bool {
	return isLetter(c) || isUpper(c) || isDigit(c) || strings.IndexByte("/_-=:~", c) >= 0
}
