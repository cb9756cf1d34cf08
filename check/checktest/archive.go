package checktest

import (
	"bytes"
	"strings"
)

// An archive is a txtar file: text, then sections, each below a line
// "-- name --". Any text is one.
//
// Source: golang.org/x/tools/txtar, "Txtar format".
type archive struct {
	comment  []byte
	sections []section
}

type section struct {
	name string
	data []byte // ends in a newline unless it is empty
}

func parse(text []byte) archive {
	var a archive
	for line := range bytes.Lines(text) {
		line = append(bytes.TrimSuffix(line, []byte("\n")), '\n')
		if name, ok := marker(line); ok {
			a.sections = append(a.sections, section{name: name})
			continue
		}
		into := &a.comment
		if n := len(a.sections); n > 0 {
			into = &a.sections[n-1].data
		}
		*into = append(*into, line...)
	}
	return a
}

func marker(line []byte) (name string, ok bool) {
	name, ok = strings.CutPrefix(string(line), "-- ")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, " --\n")
	name = strings.TrimSpace(name)
	return name, ok && name != ""
}

func (a archive) format() []byte {
	out := bytes.Clone(a.comment)
	for _, s := range a.sections {
		out = append(out, "-- "+s.name+" --\n"...)
		out = append(out, s.data...)
	}
	return out
}
