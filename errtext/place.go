package errtext

import "strings"

// place takes the rest of "[time LEVEL module:file:line] " off, as Rust's loggers
// write it.
func (l *line) place() bool {
	place, rest, ok := strings.Cut(l.text, "] ")
	level, _, two := strings.Cut(place, " ")
	if !ok || !two || level != "ERROR" && level != "WARN" || len(place) > 160 || strings.Count(place, " ") > 1 {
		return false
	}
	l.text, l.bad, l.warns = rest, l.bad || level == "ERROR", l.warns || level == "WARN"
	return true
}

// zones are those that logs have behind a time.
var zones = []string{"UTC", "GMT", "EST", "EDT", "CST", "CDT", "PST", "PDT", "CET", "CEST", "MSK", "JST", "IST", "BST"}

// withoutZone takes off the zone behind a time, and what GitLab has there: "+0000 ",
// "UTC ", "01O ".
func withoutZone(s string) string {
	word, rest, ok := strings.Cut(s, " ")
	offset := len(word) == 5 && (word[0] == '+' || word[0] == '-') && allDigits(word[1:])
	stream := len(word) >= 3 && len(word) <= 4 && isDigit(word[0]) && isDigit(word[1]) && (word[2] == 'O' || word[2] == 'E') && strings.Trim(word[3:], "+") == ""
	if ok && (offset || stream || contains(zones, word)) {
		return strings.TrimLeft(rest, " ")
	}
	return s
}

// originated takes off what newer syslogs have behind the time where somebody took
// their priority off: "node1 tag 123 - - ".
//
// Source: RFC 5424 part 6.
func (l *line) originated() bool {
	w := strings.SplitN(l.text, " ", 6)
	if len(w) < 6 || w[2] != "-" && !allDigits(w[2]) || w[4] != "-" || w[0] == "-" || !isLetter(firstOf(w[1])) {
		return false
	}
	l.program, l.text = w[1], w[5]
	return true
}

func firstOf(s string) byte { return (s + " ")[0] }

// ceph takes the thread and the level off that the programs of Ceph write behind
// the time: "7f00e1ffb700 -1 librbd::image: ". The level of errors is -1.
func (l *line) ceph() bool {
	n := leading(l.text, isHex)
	rest := strings.TrimLeft(l.text[n:], " ")
	level, text, ok := strings.Cut(rest, " ")
	if n < 4 || !ok || level != "-1" && !allDigits(level) || len(level) > 2 || len(rest) == len(l.text)-n {
		return false
	}
	l.text, l.bad = text, l.bad || level == "-1"
	return true
}

// worded takes the level off that many programs write behind the time, perhaps
// with their pid or name before it and a mark behind it: "342269 ERROR ",
// "ERROR : ", "- worker - ERROR - ".
func (l *line) worded() bool {
	rest := strings.TrimLeft(strings.TrimLeft(l.text, "0123456789"), " \t-|[")
	if name, behind, ok := strings.Cut(rest, " - "); ok && !strings.Contains(name, " ") && !isLevel(name) {
		rest = strings.TrimLeft(behind, "[")
	}
	n := leading(rest, isUpper)
	level, ok := levels[rest[:n]]
	if !ok || n == len(rest) || strings.IndexByte(" \t:|]", rest[n]) < 0 {
		return false
	}
	l.level(level)
	l.text = strings.TrimLeft(rest[n:], " \t:|]-")
	place, text, ok := strings.Cut(l.text, "\t")
	if file, number, code := strings.Cut(place, ".go:"); ok && code && allDigits(number) && !strings.Contains(file, " ") {
		l.text = text
	}
	return true
}

func isLevel(s string) bool {
	_, ok := levels[strings.TrimRight(s, ":|]")]
	return ok
}

// isDate tells a date as dmesg -T has it, in any language: "Thu Apr  1 16:45:10
// 2021", "Do Apr  1 16:45:10 2021".
func isDate(s string) bool {
	n := len(s)
	return n > 18 && s[n-5] == ' ' && allDigits(s[n-4:]) && s[n-8] == ':' && s[n-11] == ':' && strings.Count(s[:n-13], " ") >= 2
}

// levels are those that are written in capitals, and as others write them.
var levels = map[string]string{
	"ERROR": "error", "ERR": "error", "FATAL": "fatal", "CRITICAL": "fatal", "CRIT": "fatal", "E": "error",
	"WARNING": "warn", "WARN": "warn", "W": "warn", "INFO": "", "DEBUG": "", "TRACE": "", "NOTICE": "",
}
