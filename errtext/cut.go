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
	if uuidGoesOn(head, tail) {
		return true
	}
	if strings.HasSuffix(head, "/") && !strings.HasSuffix(head, "//") {
		return isPathByte(tail[0]) && tail[0] != '/'
	}
	n := leading(tail, func(c byte) bool { return isPathByte(c) || c == '.' })
	if start > 0 && start < len(head) && n > 0 && n < len(tail) && tail[n] == head[start-1] && strings.IndexByte("'\"", tail[n]) >= 0 {
		return true // the rest of what is in quotes
	}
	n -= trailing(tail[:n], func(c byte) bool { return c == ':' })
	if strings.HasSuffix(head, ":") {
		return false // the path has its end
	}
	if start == len(head) || head[start] != '/' || n == 0 || !isPathByte(head[len(head)-1]) {
		return false
	}
	if tail[0] == '/' { // a list of paths, but behind a verb
		if name, _, _ := strings.Cut(tail[1:n], "/"); leading(name, isHex) == 64 || strings.HasPrefix(name, "pvc-") {
			return true // no directory of the root
		}
		before := strings.TrimRight(head[:start], " \"'")
		return contains(cutWords, before[len(before)-trailing(before, isLetter):]) && n < len(tail)
	}
	if isEcho(head) || strings.HasPrefix(tail[n:], ": /") || strings.HasPrefix(tail[n:], ": cannot") {
		return false // a program that has its name before its error
	}
	return strings.Contains(tail[:n], "/") || n < len(tail) && strings.IndexByte(":\"'", tail[n]) >= 0
}

// uuidGoesOn tells that a UUID was cut in two.
func uuidGoesOn(head, tail string) bool {
	for n := min(trailing(head, isUUID), 35); n > 0; n-- {
		if len(tail) >= 36-n && uuidAt(head[len(head)-n:]+tail[:36-n]) != "" {
			return true
		}
	}
	return false
}

func isUUID(c byte) bool { return isHex(c) || c == '-' }

// cutWords are words of most errors, which a cut leaves in pieces.
var cutWords = []string{
	"error", "response", "daemon", "driver", "failed", "remove", "removing", "root", "filesystem", "unlinkat", "rename", "unmount",
	"unmounting", "umount", "mount", "mounting", "mounted", "device", "resource", "busy", "container", "containers", "sandbox", "directory",
	"context", "deadline", "exceeded", "runtime", "process", "cannot", "unable", "target", "volume", "caused", "starting", "operation",
	"permission", "denied", "devicemapper", "overlay", "task", "timeout", "temporarily", "unavailable", "unknown", "exit", "status", "for",
	"such", "file", "image", "stopped", "still", "being", "used", "memory", "kernel", "support", "invalid", "argument", "connection",
	"refused", "transport", "endpoint", "connected", "creating", "unmap", "mkdir", "lstat", "openat", "message", "network", "namespace",
	"input", "output", "init", "read", "write", "pod", "node", "layer", "snapshot", "snapshotter", "shim", "cgroup", "signal", "killed",
	"score", "waiting", "condition", "logical", "physical", "group", "thin", "pool", "stale", "host", "route", "space", "left", "zombie",
	"blocked", "seconds", "than", "held", "already", "currently", "exists", "empty", "missing", "broken", "pipe", "closed", "reset", "peer",
	"server", "responding", "with", "that", "not", "does", "found", "dev", "sector", "has", "pleg", "healthy", "kubeletnotready", "data",
	"metadata", "free", "blocks", "medium", "critical", "path", "name", "code", "desc", "rpc", "internal", "deadlineexceeded", "running",
	"create", "created", "mountvolume", "unmountvolume", "teardown", "setup", "syncing", "open", "from", "service", "delete", "deleting",
	"cleanup",
}

// wordGoesOn tells that a word was cut in two: together the pieces
// are one of the words of errors, and not each of them is.
func wordGoesOn(head, tail string) bool {
	a, b := head[len(head)-trailing(head, isLetter):], tail[:leading(tail, isLetter)]
	return a != "" && b != "" && contains(cutWords, lower(a+b)) && !(contains(cutWords, a) && contains(cutWords, b))
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

// takesPath tells that a text ends in a verb and the next begins with a path: with
// the window's edge between them, however narrow.
func takesPath(head, tail string) bool {
	n := trailing(head, isLetter)
	return strings.HasPrefix(strings.TrimLeft(tail, "'\""), "/") && contains(verbs, head[len(head)-n:]) && n < len(head) && head[len(head)-n-1] == ' '
}

// ends are the last words of most errors.
var ends = []string{"busy", "use", "directory", "exceeded", "failed", "empty", "denied", "permitted", "found", "error", "argument", "device", "connected", "handle", "exists", "refused", "closed", "out", "mounted"}

// isCut tells that a terminal cut a line in two: it is as wide as most terminals
// are, or as the lines next to it. A line that ends as errors do is whole, and no
// word goes on with a capital, or hardly any does: that is the next message.
func (w window) isCut(open, next *line) bool {
	if strings.HasPrefix(open.text, next.text) {
		return false // the same again
	}
	first, last := next.text[0], open.text[len(open.text)-1]
	word := open.text[len(open.text)-trailing(open.text, isLetter):]
	if isUpper(first) && isLetter(last) && !isUpper(last) || contains(ends, word) {
		return false
	}
	if open.columns() == w.width && isLetter(last) {
		before := first == ' ' && open.spaces == 0 && (isLetter(next.text[1]) || next.text[1] == '=')
		if behind := first != ' ' && open.spaces == 1 && (isLetter(first) || first == '='); before || behind {
			return true // cut at a space
		}
	}
	if w.isFull(open.columns()) || open.columns() == open.wrap {
		return next.columns() <= open.columns()
	}
	if open.columns() >= narrowest && open.spaces == 0 && (pathGoesOn(open.text, next.text) || wordGoesOn(open.text, next.text)) {
		return true
	}
	return open.columns() > terminal/2 && open.columns() == next.columns() && !contains(links, word) && isPathByte(first) && isPathByte(last)
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func isPathByte(c byte) bool {
	return isLetter(c) || isUpper(c) || isDigit(c) || strings.IndexByte("/_-=:~", c) >= 0
}
