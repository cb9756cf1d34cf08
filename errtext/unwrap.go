package errtext

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// deepest bounds how many log lines are inside each other: a container engine's
// log line in journald's in a shipper's is three.
const deepest = 4

// unwrap replaces a structured log line by its message, its error and those of
// its fields that say what it is about.
func (l *line) unwrap() {
	for range deepest {
		if !l.fromJSON() && !l.fromFields() {
			return
		}
		l.peel()
	}
}

// The names that log systems give to a message, to its error, to who wrote it
// and to what it is about, in the order in which they are printed.
var (
	messageNames = []string{"MESSAGE", "message", "Message", "msg", "log", "short_message", "textPayload", "body", "errorMessage", "detail"}
	errorNames   = []string{"error", "err", "Error"}
	outputNames  = []string{"stderr", "output", "out"}
	programNames = []string{"SYSLOG_IDENTIFIER", "_COMM", "program", "tag", "ident"}
	subjectNames = []string{"container", "container_id", "containerID", "containerId", "CONTAINER_ID_FULL", "sandbox", "podSandboxID", "id", "podUID", "pod_uid", "snapshotter", "driver", "storage-driver", "runtime", "path", "device"}
)

// fromJSON unwraps one JSON object: docker's json-file, journalctl -o json,
// logrus and zap, an API's error body, an event of Kubernetes.
func (l *line) fromJSON() bool {
	s := strings.TrimLeft(l.text, " \t")
	if name, object, ok := strings.Cut(s, ": {\""); ok && len(name) < 64 && !strings.ContainsAny(name, " \"{") {
		s = `{"` + object // a host's or a file's name before it
	} else if name, object, ok := strings.Cut(s, "=> {"); ok && len(name) < 200 {
		s = "{" + object // Ansible's result
	}
	if !strings.HasPrefix(s, "{") && !strings.HasPrefix(s, "[{") {
		return false
	}
	var value any
	if json.NewDecoder(strings.NewReader(s)).Decode(&value) != nil {
		return false
	}
	fields, ok := telling(value, deepest)
	if !ok {
		return false
	}
	var parts []string
	for _, names := range [][]string{messageNames, errorNames, outputNames} {
		for _, name := range names {
			if text := textOf(within(fields, name)); text != "" {
				parts = append(parts, withoutEntities(strings.TrimSpace(text)))
				break
			}
		}
	}
	if len(parts) == 0 {
		return false
	}
	if level, ok := fields["level"].(string); ok {
		l.level(level)
	}
	if l.text = strings.Join(parts, ": "); len(parts) == 1 && strings.HasPrefix(l.text, "time=") {
		l.headed = true
	}
	for _, name := range append(pathsOf(fields), subjectNames...) {
		if text, ok := fields[name].(string); ok && text != "" {
			l.text += fmt.Sprintf(" %s=%q", name, text)
		}
	}
	for _, name := range programNames {
		if text, ok := fields[name].(string); ok && text != "" {
			l.program = text
			break
		}
	}
	return true
}

// telling finds the object that has a message or an error: the value, or one in
// it, which is not farther down than depth.
func telling(value any, depth int) (map[string]any, bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Concat(messageNames, errorNames, outputNames) {
			if textOf(within(v, name)) != "" {
				return v, true
			}
		}
		if depth == 0 {
			break
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if inner, ok := telling(v[name], depth-1); ok {
				return inner, true
			}
		}
	case []any:
		for _, element := range v[:min(len(v), mostLines)] {
			if inner, ok := telling(element, depth-1); ok && depth > 0 {
				return inner, true
			}
		}
	}
	return nil, false
}

// member takes off the name of a message in JSON of several lines: "message": "text",
func (l *line) member() bool {
	s := strings.TrimLeft(l.text, " \t")
	if name, value, ok := strings.Cut(s, ": "); ok && (contains(messageNames, name) || contains(errorNames, name)) { // YAML
		text, whole := stringOf("- " + value)
		if l.text = text; !whole {
			l.text = s
		}
		return whole
	}
	name, value, ok := strings.Cut(s, `": "`)
	if !ok || name == "" || !contains(messageNames, name[1:]) && !contains(errorNames, name[1:]) && !contains(outputNames, name[1:]) {
		return false
	}
	value = strings.TrimSuffix(strings.TrimRight(value, " ,}]"), `"`)
	if text := ""; json.Unmarshal([]byte(`"`+value+`"`), &text) == nil {
		value = text
	}
	l.text, l.headed = value, true
	return true
}

// within is a field of an object, or of one that log systems put in it for what
// a message is about.
func within(fields map[string]any, name string) any {
	if value, ok := fields[name]; ok {
		return value
	}
	for _, object := range []string{"data", "fields", "context", "jsonPayload"} {
		if inner, ok := fields[object].(map[string]any); ok && inner[name] != nil {
			return inner[name]
		}
	}
	return nil
}

// pathsOf lists the names of fields that are paths and not among the names known.
func pathsOf(fields map[string]any) []string {
	var names []string
	for name, value := range fields {
		if text, ok := value.(string); ok && strings.HasPrefix(text, "/") && !contains(subjectNames, name) && !contains(messageNames, name) && !contains(errorNames, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// textOf is a string, or the array of bytes that journalctl prints for a message
// that is not UTF-8.
//
// Source: systemd's journal export formats, JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		b := make([]byte, 0, len(v))
		for _, n := range v {
			f, ok := n.(float64)
			if !ok || f < 0 || f > 255 {
				return ""
			}
			b = append(b, byte(f))
		}
		return string(b)
	}
	return ""
}

// noise are the fields of a log line that say nothing of the trouble.
var noise = []string{"time", "t", "level", "lvl", "ts", "line", "module", "pid", "source"}

// badLevels are those of errors.
var badLevels = []string{"error", "fatal", "panic", "eror", "crit"}

// level takes a level as a field gives it.
func (l *line) level(name string) {
	l.bad = l.bad || contains(badLevels, name)
	l.warns = l.warns || name == "warning" || name == "warn"
	l.calm = name == "info" || name == "debug" || name == "trace"
}

// fromFields unwraps logfmt, as logrus writes it: time= level= msg="..." error="..."
//
// Source: github.com/sirupsen/logrus, text_formatter.go.
func (l *line) fromFields() bool {
	s := strings.TrimLeft(l.text, " \t")
	if !isFields(s) {
		return false
	}
	message, trouble, rest := "", "", ""
	for s != "" {
		name, value, tail, ok := field(s)
		switch {
		case !ok:
			rest, tail = rest+" "+s, ""
		case name == "msg":
			message = value
		case name == "error" || name == "err":
			trouble = ": " + value
		case name == "level":
			l.level(value)
		case name == "lvl":
			l.level(value)
			if l.program == "" {
				l.program = "lxd" // log15, where others write level=
			}
		case name == "func" || name == "file" || name == "caller":
			l.caller = true
		case name == "ts": // go-kit's, where engines write time=
			l.caller = true
		case !contains(noise, name):
			rest += " " + s[:len(s)-len(tail)]
		}
		s = strings.TrimLeft(tail, " ")
	}
	l.text, l.fields, l.headed = message+trouble+rest, true, true
	return message != "" || trouble != ""
}

// isFields tells that a line begins as logfmt does.
func isFields(s string) bool {
	name := s[:fieldName(s)]
	return contains([]string{"time", "level", "ts", "msg", "t", "lvl"}, name)
}

// field cuts one name=value off. A quoted value ends at a quote with another
// field or nothing behind it, since messages have quotes that are not escaped.
func field(s string) (name, value, tail string, ok bool) {
	n := fieldName(s)
	if n == 0 {
		return "", "", "", false
	}
	name, s = s[:n], s[n+1:]
	if !strings.HasPrefix(s, `"`) {
		value, tail, _ = strings.Cut(s, " ")
		return name, value, tail, true
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"' && (i+1 == len(s) || s[i+1] == ' ' && fieldName(strings.TrimLeft(s[i+1:], " ")) > 0):
			return name, s[1:i], s[i+1:], true
		}
	}
	return name, s[1:], "", true // cut off
}

// fieldName gives the length of the name if s begins with name=, else 0.
func fieldName(s string) int {
	n := leading(s[:min(len(s), 40)], func(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c == '-' || c == '.' })
	if n > 0 && n < len(s) && s[n] == '=' {
		return n
	}
	return 0
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
