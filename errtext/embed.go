package errtext

import "strings"

// farthest is how far into a line a header may begin behind what a tool put
// before it: a number, a clock, a table's bar, the words of whom it was copied to.
const farthest = 80

// longestHost is how much of a host's name may be left behind a date, where there
// is no tag.
const longestHost = 32

// embedded takes off what stands before a log line's header, if that says
// nothing: "12  Jul 14 15:22:06 node1 dockerd[7]: text"; and labels before what
// programs begin their errors with: "[main] ERROR c.e.App - umount: /x: text".
func (l *line) embedded() bool {
	s, last := l.text, farthest
	if strings.HasPrefix(s, `{"`) || isFields(s) {
		return false // they are read as a whole
	}
	quotes := l.headed && (l.program != "" || l.source != "")
	if quotes {
		last = longestHost
	}
	for i := 1; i < len(s)-8 && i <= last; i++ {
		if !isBoundary(s[i-1]) {
			continue
		}
		header := beginsHeader(s[i:])
		if !header && (!beginsMessage(s[i:]) || !isLabel(s[:i])) {
			continue
		}
		if before := strings.TrimSpace(s[:i]); !saysNothing(s[:i]) || quotes && strings.ContainsAny(before, " :(") {
			return false
		}
		l.text = s[i:]
		return true
	}
	return false
}

// beginsMessage tells that a text begins as what clients, tools and engines print
// does, where no time is before it.
func beginsMessage(s string) bool {
	switch c := s[0]; {
	case c == '{':
		return strings.HasPrefix(s, `{"`)
	case c == '<' || isDigit(c):
		inner := line{text: s[:min(len(s), 64)]}
		return inner.priority() || inner.date()
	case !isLetter(c):
		return false
	case hasPrefix(s, []string{"Error: ", "Error response from daemon", "ERRO[", "EROR[", "FATA[", "WARN[", "HEALTH_", "JBD2: ", "level=", "lvl=", "msg=", "t="}) || hasPrefix(s, kernelHeads):
		return true
	}
	name, _, ok := strings.Cut(s[:min(len(s), 32)], ": ")
	name = strings.TrimSuffix(name, " failed")
	return ok && programs[name] != "" && programs[name] != "kernel"
}

// marks are words that build tools and managers put before an error.
var marks = []string{"err:", "panic:", "stderr:", "TASK", "E:"}

// isLabel tells that a text is what shippers and loggers put before a message: a
// number, a mark, a level, the name of a host, a container, a thread or a logger,
// which have a sign in them that words have not.
func isLabel(s string) bool {
	words := strings.Fields(s)
	for i, word := range words {
		if i == 1 && strings.Contains(words[0], "-") && leading(word, isKernelName) == len(word) && programs[word] == "" || contains(marks, word) {
			continue // the container in a pod
		}
		_, level := levels[strings.Trim(word, "[]:|()")]
		if !strings.HasSuffix(word, ":") { // not the beginning of a chain
			_, level = levels[strings.ToUpper(strings.Trim(word, "[]|()"))]
		}
		ascii := leading(word, func(c byte) bool { return c < 0x80 }) == len(word)
		if known := programs[strings.TrimRight(word, ":")] != ""; known || !level && ascii && !strings.ContainsAny(word, "0123456789-_.[]|#>*={") && !strings.Contains(word, "::") {
			return false
		}
	}
	return len(words) > 0
}

func isBoundary(c byte) bool {
	switch c {
	case ' ', '\t', '|', '>', '\'', '"', '`', '(', '{', '[', ':', ',':
		return true
	}
	return false
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// beginsHeader tells that a text begins with the header of logfmt, klog, the
// kernel or syslog, or is a row of a table of events. A date alone is none: sentences have them, too.
func beginsHeader(s string) bool {
	switch s[0] {
	case 't':
		return strings.HasPrefix(s, `time="`) && strings.Contains(s, " level=")
	case 'l':
		return strings.HasPrefix(s, "level=") && strings.Contains(s, ` msg="`)
	case '[':
		inner := line{text: s}
		return inner.bracketed() && inner.program == "kernel"
	case 'k':
		return strings.HasPrefix(s, "kernel: ")
	case 'I', 'W', 'E', 'F':
		if isDigit(s[1]) && (&line{text: s}).klog() || strings.HasPrefix(s, "Warning ") && eventBy(lower(s[:min(len(s), 200)])) == "kubelet" {
			return true
		}
	}
	if !isUpper(s[0]) || s[3] != ' ' || !strings.Contains(months, s[:3]) {
		return (&line{text: s[:min(len(s), 48)]}).tagged()
	}
	inner := line{text: s}
	return inner.stamp() && inner.program != ""
}

// saysNothing tells that a text names nothing and tells of no failure.
func saysNothing(s string) bool {
	for i := 0; i < len(s); {
		n := leading(s[i:], isHex)
		if n >= 12 && !allDigits(s[i:i+n]) {
			return false
		}
		i += max(n, 1)
	}
	low := lower(s)
	if i := strings.Index(low, "error "); i >= 0 && s[i] != 'E' {
		verb := low[i+len("error "):]
		if strings.HasSuffix(verb[:leading(verb, isLetter)], "ing") {
			return false // no level: "error creating"
		}
	}
	if _, rest, ok := strings.Cut(low, ".go:"); ok && strings.HasPrefix(rest[leading(rest, isDigit):], ":") {
		return false // where runc failed, not where a program logs
	}
	_, says := hasAny(low, " /", "fail", "cannot", "unable", "level=", "conmon", "docker", "containerd", "warning")
	return !says && s[0] != '/'
}

// ofTool is what tools put before a line, which its first character tells.
func (l *line) ofTool() bool {
	s := strings.TrimLeft(l.text, " \t")
	if s == "" {
		return false
	}
	switch c := s[0]; {
	case c == '|' || c >= 0x80:
		return l.boxed()
	case c == '[' || isDigit(c):
		return l.clocked()
	case c == '#':
		return l.marked()
	case c == '"' || c == 'm' || c == 'e':
		return l.member()
	}
	return false
}

// boxed is a row of a table or of a frame: "| text |", "│ text │". A frame that a
// line fills cuts it.
func (l *line) boxed() bool {
	s := strings.TrimLeft(l.text, " \t")
	for _, bar := range []string{"|", "│", "┃"} {
		rest, ok := strings.CutPrefix(s, bar)
		inner, closed := strings.CutSuffix(rest, bar)
		if !ok || !closed && !strings.HasPrefix(rest, " ") {
			continue
		}
		inner = strings.TrimSuffix(strings.TrimPrefix(inner, " "), " ")
		l.text = strings.TrimRight(inner, " \t")
		l.full = closed && bar != "|" && inner != "" && l.text == inner
		return true
	}
	return false
}

// clocked is a time without a date, seconds since 1970, or a date with slashes
// and a clock, that tools put before each line: "15:22:06.123 text".
func (l *line) clocked() bool {
	s := strings.TrimLeft(l.text, " \t[")
	if s == "" || !isDigit(s[0]) {
		return false
	}
	first, rest, ok := strings.Cut(s, " ")
	if clock, more, closed := strings.Cut(s, "]["); closed && len(clock) < 16 {
		first, rest, ok = clock, "["+more, true
	}
	first = strings.TrimSuffix(first, "]")
	if !ok || len(first) < 8 {
		return false
	}
	if strings.Count(first, "/") == 2 && leading(first, func(c byte) bool { return isDigit(c) || c == '/' }) == len(first) {
		first, rest, ok = strings.Cut(rest, " ") // 1/2/2024 3:04:05 PM
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "AM "), "PM ")
	}
	clock := ok && strings.Count(first, ":") == 2 && leading(first, isClock) == len(first)
	whole, part, dot := strings.Cut(first, ".")
	if seconds := dot && len(whole) == 10 && allDigits(whole) && allDigits(part); !clock && !seconds {
		return false
	}
	if l.text, l.headed = rest, true; strings.HasPrefix(rest, "[") {
		l.component()
	}
	return true
}

// component is what Docker Desktop writes behind the time: "[VpnKit   ][Error  ] ".
func (l *line) component() {
	name, rest, ok := strings.Cut(l.text, "][")
	level, text, closed := strings.Cut(rest, "] ")
	level = strings.TrimSpace(level)
	if _, known := levels[strings.ToUpper(level)]; !ok || !closed || !known || len(name) > 32 {
		return
	}
	l.level(lower(level))
	l.text = text
}

// marked is the mark of a level that build servers put before a line:
// "##[error]text".
func (l *line) marked() bool {
	rest, ok := strings.CutPrefix(l.text, "##[")
	level, text, end := strings.Cut(rest, "]")
	if !ok || !end || level == "" || leading(level, isLetter) != len(level) {
		return false
	}
	l.text = text
	l.level(level)
	return true
}

// ofStream takes off what a CRI log file has behind the time.
func (l *line) ofStream() bool {
	for _, stream := range []string{"stdout F ", "stderr F ", "stdout P ", "stderr P "} {
		if rest, ok := strings.CutPrefix(l.text+" ", stream); ok {
			l.text = strings.TrimSuffix(rest, " ")
			return true
		}
	}
	return false
}

// stream is the header of a line of a CRI log file.
func (l *line) stream() bool {
	inner := line{text: l.text}
	if !inner.date() || inner.headed {
		return false
	}
	l.text = inner.text
	return true
}
