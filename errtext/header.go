package errtext

import (
	"strconv"
	"strings"
)

// A line is one physical line without what log systems put before it.
type line struct {
	no      int
	text    string
	program string // the syslog tag, or kernel; "" if there was none
	source  string // the Go file that a klog header names
	fields  bool   // it was logfmt
	caller  bool   // with the function or source file that wrote it, which no container engine adds
	bad     bool   // its level says that it is an error
	warns   bool   // its level says that it is a warning
	calm    bool   // its level says that it is neither
	headed  bool   // it had a header of its own, so it continues nothing
	name    string // of the container whose log it is, which some tools put before each line
	times   int    // 1, more if a note says so
	whole   string // the line with its headers
	width   int    // in columns, of the last line as it was pasted; see columns
	spaces  int    // how many that line ended in
	wrap    int    // the width at which lines of it were cut
	full    bool   // it filled the box that it was pasted in, so it was cut
}

// mostHeaders bounds how many headers are taken off one line: a log shipper's
// around journald's around klog's is three.
const mostHeaders = 8

// peelers each take one header off the text, and tell whether there was one.
var peelers = []func(*line) bool{
	(*line).quoteMark, (*line).grepped, (*line).composed, (*line).named, (*line).commented, (*line).priority, (*line).stamp, (*line).date,
	(*line).klog, (*line).bracketed, (*line).leveled, (*line).repeated, (*line).tagged, (*line).ofTool, (*line).embedded,
}

// peel takes all headers off.
func (l *line) peel() {
	for range mostHeaders {
		peeled := false
		for _, p := range peelers {
			if p(l) {
				peeled = true
				break
			}
		}
		if !peeled {
			return
		}
	}
}

// quoteMark is that of mail and Markdown: "> text".
func (l *line) quoteMark() bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(l.text, " \t"), ">")
	if ok = ok && (rest == "" || rest[0] == ' '); ok {
		l.text = strings.TrimPrefix(rest, " ")
	}
	return ok
}

// grepped is what grep puts before a match, "/var/log/messages-1:12:", if a
// header follows it.
func (l *line) grepped() bool {
	n := leading(l.text, func(c byte) bool { return c != ':' && c != ' ' && c != '"' && c != '{' })
	if n == 0 || n > 256 || n == len(l.text) || l.text[n] != ':' || !strings.ContainsAny(l.text[:n], "/.") && !strings.HasPrefix(l.text, "messages") && !strings.HasPrefix(l.text, "syslog") {
		return false
	}
	rest := l.text[n+1:]
	if d := leading(rest, isDigit); d > 0 && d < len(rest) && (rest[d] == ':' || rest[d] == '-') && !hasHeader(rest) {
		rest = rest[d+1:]
	}
	if !hasHeader(rest) {
		return false
	}
	l.text = rest
	return true
}

// hasHeader tells that a text begins with a time, or a header that has one.
func hasHeader(text string) bool {
	inner := line{text: text}
	for _, p := range []func(*line) bool{(*line).stamp, (*line).date, (*line).klog, (*line).bracketed} {
		if p(&inner) {
			return true
		}
	}
	return false
}

// composed is docker compose's "name_1  | text".
func (l *line) composed() bool {
	name, rest, ok := strings.Cut(l.text, " | ")
	name = strings.TrimRight(name, " ")
	if !ok || name == "" || len(name) > 64 || !strings.ContainsAny(name, "-_") || strings.ContainsAny(name, ` ":/=`) {
		return false
	}
	l.text, l.headed = rest, true
	return true
}

// named is the name of a container, and perhaps of its pod, that kubectl logs and
// its like put before each line of its log, if a header follows it: "csi-plugin
// E0714 15:22:06...".
func (l *line) named() bool { return l.namedBy(2) }

func (l *line) namedBy(most int) bool {
	s := strings.TrimLeft(l.text, " \t")
	name, rest, ok := strings.Cut(s, " ")
	word := strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if !ok || l.name != "" || len(name) > 64 || !strings.Contains(name, "-") || leading(word, isKernelName) != len(word) {
		return false
	}
	inner := line{text: strings.TrimLeft(rest, " \t")}
	if most > 1 && inner.namedBy(most-1) {
		l.text, l.name = inner.text, name+" "+inner.name
		return true
	}
	if !inner.date() && !inner.klog() && !isFields(inner.text) {
		return false
	}
	l.text, l.name = strings.TrimLeft(rest, " \t"), name
	return true
}

// commented is a log line in the output of a test, which has a # before it.
func (l *line) commented() bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(l.text, " \t"), "# ")
	if !ok || !isFields(rest) {
		return false
	}
	l.text = rest
	return true
}

// priority is "<4>", and /dev/kmsg's "4,1234,56789,-;".
//
// Source: Linux 6.12 Documentation/ABI/testing/dev-kmsg.
func (l *line) priority() bool {
	if rest, ok := strings.CutPrefix(l.text, "<"); ok {
		d := leading(rest, isDigit)
		if d > 0 && d < 4 && d < len(rest) && rest[d] == '>' {
			l.text = rest[d+1:]
			l.structured()
			return true
		}
	}
	head, rest, ok := strings.Cut(l.text, ";")
	if ok && len(head) < 64 && strings.Count(head, ",") >= 3 && leading(head, func(c byte) bool { return isDigit(c) || c == ',' || c == '-' || c == 'c' }) == len(head) {
		l.text, l.program, l.headed = rest, "kernel", true
		return true
	}
	return false
}

// structured takes off what follows a priority in newer syslogs: "1 2024-03-02T10:11:12Z
// host tag pid id - ", where the last may be data in brackets.
//
// Source: RFC 5424 part 6.
func (l *line) structured() {
	words := strings.SplitN(l.text, " ", 7)
	if len(words) < 7 || words[0] != "1" {
		return
	}
	inner := line{text: words[1] + " "}
	if !inner.date() {
		return
	}
	l.program, l.headed, l.text = words[3], true, words[6]
	if data, text, ok := strings.Cut(l.text, "] "); ok && strings.HasPrefix(data, "[") {
		l.text = text
	} else {
		l.text = strings.TrimPrefix(l.text, "- ")
	}
	l.text = strings.TrimPrefix(l.text, "\ufeff")
}

// stamp is the header of syslog and journalctl: "Jul 14 15:22:06 host tag[1]: ",
// with the month in any language. The host may have been taken out.
//
// Source: RFC 3164 part 4.1.
func (l *line) stamp() bool {
	s := strings.TrimLeft(l.text, " \t")
	month := leading(s, func(c byte) bool { return c != ' ' && !strings.ContainsRune(":=\"'/[](){}", rune(c)) })
	if month < 3 || month > 12 || len(s) < month+12 || s[month] != ' ' {
		return false
	}
	rest := strings.TrimLeft(s[month:], " ")
	day := leading(rest, isDigit)
	if day < 1 || day > 2 || day >= len(rest) || rest[day] != ' ' {
		return false
	}
	clock := rest[day+1:]
	n := leading(clock, isClock)
	if n < 8 || strings.Count(clock[:n], ":") < 2 {
		return false
	}
	l.text, l.headed = strings.TrimLeft(clock[n:], " "), true
	l.tag()
	return true
}

func isClock(c byte) bool { return isDigit(c) || c == ':' || c == '.' || c == ',' }

// date is an ISO date and time, followed by a syslog tag, by the stream of a CRI
// log file, or by the text.
func (l *line) date() bool {
	s := strings.TrimLeft(l.text, " \t[")
	if len(s) < 19 || !isDigit(s[0]) || (s[4] != '-' && s[4] != '/') || s[7] != s[4] || s[13] != ':' || s[16] != ':' {
		return false
	}
	n := 11 + leading(s[11:], isClock)
	n += leading(s[n:], func(c byte) bool { return c == 'Z' || c == '+' || c == '-' || c == ':' || c == ']' || isDigit(c) })
	rest := withoutZone(strings.TrimLeft(s[n:], " "))
	if l.text = rest; l.ofStream() {
		return true // each line has that, also of a message with many
	}
	l.headed = true
	if !l.place() && !l.originated() && !l.ceph() && !l.worded() {
		l.tag()
	}
	return true
}

// tag takes "host tag[pid]: " off, or "tag: ". A word of an error chain ends in
// a colon, too: only one after a host, with a pid, or of a known program is a tag.
func (l *line) tag() {
	first, rest, ok := strings.Cut(l.text, " ")
	if !ok {
		return
	}
	if name, colon := strings.CutSuffix(first, ":"); colon {
		if tag, pid, _ := strings.Cut(name, "["); pid != "" && isDigit(pid[0]) || programs[tag] != "" && programs[tag] != tool {
			l.text, l.program = rest, tag
		}
		return
	}
	if !isLetter(first[0]) && !isDigit(first[0]) {
		return
	}
	second, rest, ok := strings.Cut(rest, " ")
	name, colon := strings.CutSuffix(second, ":")
	if !ok || !colon || strings.ContainsAny(first, `="'/([{`) || strings.ContainsAny(name, `="'`) || strings.HasPrefix(name, "/") {
		return
	}
	l.program, _, _ = strings.Cut(name, "[")
	if l.text = rest; programs[name] == tool {
		l.text = second + " " + rest // it writes its name itself: "umount: /mnt: target is busy"
	}
}

// tagged is a tag with a pid of which somebody cut date and host off: "kubelet[1450]: ".
func (l *line) tagged() bool {
	name, rest, ok := strings.Cut(l.text, "]: ")
	tag, pid, open := strings.Cut(name, "[")
	if !ok || !open || l.program != "" || pid == "" || leading(pid, isDigit) != len(pid) || tag == "" || strings.ContainsAny(tag, ` "'=/:`) {
		return false
	}
	l.text, l.program, l.headed = rest, tag, true
	return true
}

// klog is "E0714 15:22:06.123456 123 file.go:12] ", its beginning perhaps cut off.
//
// Source: k8s.io/klog/v2, internal/buffer, FormatHeader.
func (l *line) klog() bool {
	s := strings.TrimLeft(l.text, " \t")
	end := strings.Index(s[:min(len(s), 160)], "] ")
	if end < 0 {
		return false
	}
	head := s[:end]
	i := strings.LastIndexByte(head, ' ')
	file, number, ok := strings.Cut(head[i+1:], ":")
	if !ok || !strings.HasSuffix(file, ".go") || number == "" || leading(number, isDigit) != len(number) {
		return false
	}
	cut := i >= 0 && leading(head[:i], func(c byte) bool { return isClock(c) || c == ' ' }) == i
	if i >= 0 && !cut && !isKlog(s) {
		return false
	}
	l.text, l.source, l.headed = s[end+2:], file, true
	l.bad = l.bad || i >= 0 && (s[0] == 'E' || s[0] == 'F')
	l.calm = i >= 0 && s[0] == 'I' && !strings.Contains(l.text, " err=")
	l.warns = l.warns || i >= 0 && s[0] == 'W' || strings.Contains(l.text, " err=") && !strings.Contains(l.text, " err=<nil>")
	return true
}

// isKlog tells that a text begins with a level and a date: "E0714 ".
func isKlog(s string) bool {
	return s != "" && strings.IndexByte("IWEF", s[0]) >= 0 && leading(s[1:], isDigit) == 4
}

// bracketed is the kernel's "[  123.456789] ", dmesg -T's "[Thu Apr  1 16:45:10
// 2021] ", and a level like "[ERROR] ".
func (l *line) bracketed() bool {
	s := strings.TrimLeft(l.text, " \t")
	if tagged, ok := strings.CutPrefix(s, "kernel:"); ok {
		l.text, l.program, l.headed = strings.TrimLeft(tagged, " "), "kernel", true
		return true
	}
	if s == "" || s[0] != '[' {
		return false
	}
	end := strings.IndexByte(s[:min(len(s), 48)], ']')
	if end < 0 {
		return false
	}
	in := strings.TrimPrefix(strings.Trim(s[1:end], " "), "+") // dmesg -d
	whole, part, dot := strings.Cut(in, ".")
	digits := leading(whole, isDigit)
	switch {
	case dot && digits > 0 && digits == len(whole) && len(part) == 6 && leading(part, isDigit) == 6,
		isDate(in):
		defer l.ownTag()
		l.program = "kernel"
	case l.program == "kernel" && len(in) > 1 && (in[0] == 'T' || in[0] == 'C') && allDigits(in[1:]): // task or processor
	case in == "ERROR" || in == "WARN" || in == "INFO" || in == "error" || in == "fatal" || in == "WARNING":
	default:
		return false
	}
	l.text, l.headed = strings.TrimLeft(s[end+1:], " "), true
	return true
}

// ownTag takes the tag off that programs put before what they write to the
// kernel's log: "systemd-shutdown[1]: ", and what journalctl -o short-monotonic
// has behind the time: a host, then the tag.
func (l *line) ownTag() {
	rest := l.text
	for range 2 {
		first, after, ok := strings.Cut(rest, " ")
		if !ok || first == "" {
			return
		}
		tag, pid, _ := strings.Cut(first, "[")
		if n := leading(pid, isDigit); tag != "" && n > 0 && pid[n:] == "]:" {
			l.text, l.program = after, tag
			return
		}
		if strings.HasSuffix(first, ":") {
			return
		}
		rest = after
	}
}

// leveled is logrus on a terminal: "ERRO[0000] text".
func (l *line) leveled() bool {
	s := strings.TrimLeft(l.text, " \t")
	for _, level := range []string{"ERRO[", "WARN[", "FATA[", "INFO[", "DEBU[", "EROR[", "CRIT[", "DBUG["} { // the last three are LXD's
		rest, ok := strings.CutPrefix(s, level)
		if end := strings.IndexByte(rest, ']'); ok && end >= 4 && end < 40 {
			l.text, l.headed = strings.TrimLeft(rest[end+1:], " "), true
			l.bad = l.bad || level == "ERRO[" || level == "FATA[" || level == "EROR[" || level == "CRIT["
			l.warns = l.warns || level == "WARN["
			if l.program == "" && (level == "EROR[" || level == "CRIT[" || level == "DBUG[") {
				l.program = "lxd"
			}
			return true
		}
	}
	return false
}

// repeated is rsyslog's "message repeated 3 times: [ text]".
func (l *line) repeated() bool {
	rest, ok := strings.CutPrefix(l.text, "message repeated ")
	if !ok {
		return false
	}
	d := leading(rest, isDigit)
	text, ok := strings.CutPrefix(rest[d:], " times: [")
	if !ok {
		return false
	}
	n, err := strconv.Atoi(rest[:d])
	if err != nil || n < 1 {
		n = 1
	}
	l.text, l.times = strings.TrimSpace(strings.TrimSuffix(text, "]")), l.times*min(n, mostTimes)
	return true
}

// mostTimes bounds a count that the text states, so that sums stay small.
const mostTimes = 1 << 20
