package kmsg

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// headerRoom is how far into a line its header may reach.
const headerRoom = 256

// ParseLine reads one line of a kernel log in any spelling: /dev/kmsg's, dmesg's
// (seconds, -T, -x, --time-format), journalctl's (JSON too) and syslog's, with
// what log shippers and terminals put before those. Dates without a zone are taken
// to be in zone. ok is false for a line that is another program's.
//
// A line without a header that is known is searched for the beginning of a
// message, unless what stands before that looks like another program's line.
func ParseLine(line string, zone *time.Location) (r Record, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if line != "" && '0' <= line[0] && line[0] <= '9' {
		if r, err := ParseRecord([]byte(line)); err == nil {
			return r, r.Kernel
		}
	}
	r = Record{Seq: -1, Boot: -1, Kernel: true}
	trimmed := strings.TrimLeft(line, " \t>")
	if strings.HasPrefix(trimmed, "{") {
		return fromJSON(trimmed, zone)
	}
	if facility, rest, ok := priority(trimmed); ok {
		if facility != 0 {
			return r, false
		}
		trimmed = rest
	}
	if at, end, ok := kernelTag(trimmed); ok {
		r.setStamp(trimmed[:at], zone)
		trimmed = strings.TrimLeft(trimmed[end:], " ")
		if _, rest, ok := priority(trimmed); ok {
			trimmed = rest
		}
		r.Text = r.brackets(trimmed, zone)
		return r, true
	}
	if at := clockBracket(trimmed); at >= 0 {
		if !plainHeader(trimmed[:at]) {
			return r, false
		}
		r.setStamp(trimmed[:at], zone)
		r.Text = r.brackets(trimmed[at:], zone)
		return r, true
	}
	at := begins(trimmed[:min(len(trimmed), headerRoom)])
	if at < 0 {
		r.Text = trimmed // of a stack or a table, perhaps
		return r, true
	}
	if !plainHeader(trimmed[:at]) {
		return r, false
	}
	r.setStamp(trimmed[:at], zone)
	r.Text = trimmed[at:]
	return r, true
}

// priority takes "<4>" off and tells its facility.
func priority(s string) (facility uint64, rest string, ok bool) {
	if s == "" || s[0] != '<' {
		return 0, s, false
	}
	end := strings.IndexByte(s[:min(len(s), 6)], '>')
	if end < 0 {
		return 0, s, false
	}
	n, err := strconv.ParseUint(s[1:end], 10, 16)
	return n >> 3, s[end+1:], err == nil
}

// kernelTag finds syslog's tag of the kernel, "kernel: ", with the wall(1) form
// "kernel:" and one with a pid.
func kernelTag(s string) (at, end int, ok bool) {
	const tag = "kernel"
	head := s[:min(len(s), headerRoom)]
	for from := 0; ; {
		i := strings.Index(head[from:], tag)
		if i < 0 {
			return 0, 0, false
		}
		at, end = from+i, from+i+len(tag)
		from = end
		if at > 0 && s[at-1] != ' ' && s[at-1] != '\t' {
			continue
		}
		if strings.HasPrefix(s[end:], "[") {
			if close := strings.IndexByte(s[end:min(len(s), end+12)], ']'); close > 0 && allDigits(s[end+1:end+close]) {
				end += close + 1
			}
		}
		if strings.HasPrefix(s[end:], ":") && plainHeader(s[:at]) {
			return at, end + 1, true
		}
	}
}

// plainHeader tells that a text may stand before a message of the kernel's in a
// log: no other program's tag, no quotes and fields of a structured line.
func plainHeader(s string) bool {
	if strings.ContainsAny(s, `"=`) {
		return false
	}
	for _, facility := range []string{"user ", "daemon", "syslog", "auth", "mail", "cron", "local"} { // dmesg -x
		if strings.HasPrefix(s, facility) && strings.Contains(s[:min(len(s), 18)], ":") {
			return false
		}
	}
	i := strings.Index(s, "]: ") // name[pid]:
	if i < 0 {
		return true
	}
	open := strings.LastIndexByte(s[:i], '[')
	return open < 1 || s[open-1] == ' ' || !allDigits(s[open+1:i])
}

// clockBracket finds "[  123.456789]" or "[Thu Dec  7 00:05:14 2017]".
func clockBracket(s string) int {
	head := s[:min(len(s), headerRoom)]
	for from := 0; ; {
		i := strings.IndexByte(head[from:], '[')
		if i < 0 {
			return -1
		}
		at := from + i
		if inside, _, ok := bracket(s[at:]); ok && isClock(inside) {
			return at
		}
		from = at + 1
	}
}

// bracket cuts "[inside] rest".
func bracket(s string) (inside, rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return "", s, false
	}
	end := strings.IndexByte(s[:min(len(s), 48)], ']')
	if end < 0 {
		return "", s, false
	}
	return s[1:end], s[end+1:], true
}

// brackets takes the kernel's time and caller off: "[  123.456789][    T1] text".
func (r *Record) brackets(s string, zone *time.Location) string {
	for range 3 {
		inside, rest, ok := bracket(s)
		if !ok {
			break
		}
		switch in := strings.TrimSpace(inside); {
		case isClock(inside):
			if r.setStamp(in, zone); r.Stamp == "" {
				r.Stamp = in
			}
		case len(in) > 1 && (in[0] == 'T' || in[0] == 'C') && allDigits(in[1:]) && r.Stamp != "":
			r.Caller = in
		default:
			return s
		}
		s = strings.TrimPrefix(rest, " ")
	}
	return strings.TrimLeft(s, " ")
}

// fromJSON reads a line of journalctl -o json, or of a shipper, which has names of
// its own. One that does not say who wrote the message has the whole line in it.
//
// Source: systemd.journal-fields(7).
func fromJSON(line string, zone *time.Location) (Record, bool) {
	var fields struct {
		Message    any    `json:"MESSAGE"`
		Transport  string `json:"_TRANSPORT"`
		Identifier string `json:"SYSLOG_IDENTIFIER"`
		Realtime   string `json:"__REALTIME_TIMESTAMP"`
		Monotonic  string `json:"_SOURCE_MONOTONIC_TIMESTAMP"`
		Ident      any    `json:"ident"`
		Program    any    `json:"program"`
		Tag        any    `json:"tag"`
		Log        any    `json:"log"`
	}
	if json.Unmarshal([]byte(line), &fields) != nil {
		return Record{}, false
	}
	r := Record{Seq: -1, Boot: -1}
	named := fields.Identifier
	for _, name := range []any{fields.Ident, fields.Program, fields.Tag} {
		if text, ok := name.(string); ok && named == "" {
			named = text
		}
	}
	r.Kernel = fields.Transport == "kernel" || fields.Transport == "" && named == "kernel"
	switch m := fields.Message.(type) {
	case string:
		r.Text = m
	case []any: // bytes that are not UTF-8
		for _, n := range m {
			f, _ := n.(float64)
			r.Text += string([]byte{byte(int(f))})
		}
	default:
		r.Text, _ = fields.Log.(string)
	}
	if fields.Transport == "" && named == "" && !strings.HasPrefix(strings.TrimLeft(r.Text, " \t>"), "{") {
		return ParseLine(r.Text, zone)
	}
	if usec, err := strconv.ParseInt(fields.Realtime, 10, 64); err == nil {
		r.Time = time.UnixMicro(usec).UTC()
	}
	if usec, err := strconv.ParseInt(fields.Monotonic, 10, 64); err == nil && usec >= 0 && usec < 1<<53 {
		r.Boot = time.Duration(usec) * time.Microsecond
	}
	return r, r.Kernel
}
