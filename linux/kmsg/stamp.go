package kmsg

import (
	"strconv"
	"strings"
	"time"
)

// isClock tells what the brackets of dmesg hold: seconds since boot, a date, or
// with -e and -H a date without a year or the seconds since the line before.
func isClock(inside string) bool {
	s := strings.TrimSpace(inside)
	if _, ok := seconds(s); ok {
		return true
	}
	if len(s) == 0 {
		return false
	}
	if s[0] == '+' {
		_, ok := seconds(strings.TrimSpace(s[1:]))
		return ok
	}
	if before, _, ok := strings.Cut(s, "<"); ok { // dmesg -d: "  12.345678 <    0.000012>"
		return isClock(before)
	}
	return hasTime(s) || len(s) > 8 && strings.Contains(s, ":") && strings.Contains(months, " "+s[:3]+" ") // dmesg -e: "Apr 1 16:45"
}

// hasTime tells that there is a 19:11:18 in s: the rest of a date is in any language.
func hasTime(s string) bool {
	for i := 2; i+6 <= len(s); i++ {
		if s[i] == ':' && s[i+3] == ':' && allDigits(s[i-2:i]) && allDigits(s[i+1:i+3]) && allDigits(s[i+4:i+6]) {
			return true
		}
	}
	return false
}

const months = " Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "

// seconds reads "449954.516381".
func seconds(s string) (time.Duration, bool) {
	whole, part, ok := strings.Cut(s, ".")
	if !ok || !allDigits(whole) || !allDigits(part) || len(part) > 9 || len(whole) > 10 {
		return 0, false
	}
	var n time.Duration
	for _, c := range []byte(whole + (part + "00000")[:6]) {
		n = n*10 + time.Duration(c-'0')
	}
	if n > 9e15 { // 285 years
		return 0, false
	}
	return n * time.Microsecond, true
}

// The dates that logs put before a message, without what stands between them and it.
var layouts = []string{
	"Mon Jan _2 15:04:05 2006", // dmesg -T
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999-0700",
	"Mon 2006-01-02 15:04:05 MST", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
}

// setStamp reads the time in a line's header. A later header is the kernel's own
// and adds to an earlier one's date.
func (r *Record) setStamp(head string, zone *time.Location) {
	head = strings.TrimSpace(head)
	if head == "" {
		return
	}
	if inside, _, ok := bracket(head); ok { // journalctl -o short-monotonic
		head = strings.TrimSpace(inside)
	}
	if boot, ok := seconds(strings.TrimSpace(head[:leading(head, "0123456789. ")])); ok && boot < 1e9*time.Second {
		r.Boot = boot // not -o short-unix, which counts from 1970
	}
	if r.Stamp == "" && head != "" {
		r.Stamp = stampOf(head)
	}
	if !r.Time.IsZero() || zone == nil || !strings.Contains(head, ":") || !strings.Contains(head, "20") {
		return // nothing with a time and a year of this century in it
	}
	text := strings.Replace(head, ",", ".", 1)
	for _, layout := range layouts {
		words := strings.Fields(text)
		n := len(strings.Fields(layout))
		if len(words) < n {
			continue
		}
		text := strings.Join(words[:n], " ")
		if t, err := time.ParseInLocation(strings.ReplaceAll(layout, "_2", "2"), text, zone); err == nil && t.Year() > 1970 {
			r.Time = t.UTC()
			return
		}
	}
}

// stampOf is the time that a header begins with, as it stands there; "" if none does.
func stampOf(head string) string {
	words := strings.Fields(head[:min(len(head), 64)])
	n := 0
	switch first := words[0]; {
	case strings.Contains(months, " "+first+" "): // Apr  1 16:45:10
		n = 3
	case len(words) > 3 && strings.Contains(months, " "+words[1]+" "): // Thu Apr  1 16:45:10 2021
		n = 5
	case len(words) > 2 && len(first) == 3 && strings.Count(words[1], "-") == 2: // Thu 2021-04-01 16:45:10 UTC
		n = 4
	case !allDigits(first[:1]) && first[0] != '+':
	case len(first) == len(time.DateOnly):
		n = 2
	default:
		n = 1
	}
	return strings.Join(words[:min(n, len(words))], " ")
}

// leading is how many bytes at the beginning of s are in set.
func leading(s, set string) int {
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return i
		}
	}
	return len(s)
}

func allDigits(s string) bool { return s != "" && leading(s, "0123456789") == len(s) }

// number reads the digits at the beginning of s as a pid or a count, and gives the rest.
func number(s string) (n int, rest string, ok bool) {
	d := leading(s, "0123456789")
	v, err := strconv.ParseInt(s[:d], 10, 32)
	return int(v), s[d:], d > 0 && err == nil
}
