// Package lvm reads the text that LVM keeps: its settings, its profiles, and its
// backup of each volume group, all of one grammar.
package lvm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrFormat is the error of a text that is not of LVM's grammar.
var ErrFormat = errors.New("not as LVM writes it")

const (
	deepest  = 32
	mostKeys = 1 << 18
)

// Settings are the values of a text by their path: "docker/logical_volumes/thinpool/profile".
// Of a list it has nothing. A path that comes twice has its last value.
type Settings map[string]string

// Parse reads a text. What was read before an error is returned with it; errors wrap
// [ErrFormat] and tell the line.
//
// Source: lvm.conf(5); LVM2 libdm/libdm-config.c, _section and _value.
func Parse(text []byte) (Settings, error) {
	p := parser{rest: string(text), line: 1, out: Settings{}}
	err := p.section("", 0)
	if err != nil {
		err = fmt.Errorf("line %d: %w: %v", p.line, ErrFormat, err)
	}
	return p.out, err
}

// Number reads a value that is a whole number, 0 if it is none.
func (s Settings) Number(path string) int {
	n, err := strconv.Atoi(s[path])
	if err != nil {
		return 0
	}
	return n
}

// Below are the names of the sections and values directly below a path, each once, in no order.
func (s Settings) Below(path string) map[string]bool {
	out := map[string]bool{}
	for key := range s {
		if rest, ok := strings.CutPrefix(key, path+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			out[name] = true
		}
	}
	return out
}

type parser struct {
	rest string
	line int
	out  Settings
}

// section reads "name = value" and "name { ... }" up to its closing brace.
func (p *parser) section(path string, depth int) error {
	for {
		word := p.word()
		switch {
		case word == "" && depth == 0:
			return nil
		case word == "":
			return errors.New("a section has no end")
		case word == "}" && depth > 0:
			return nil
		case strings.ContainsAny(word[:1], "{}[]=,"):
			return fmt.Errorf("%.20q where a name belongs", word)
		case depth == deepest || len(p.out) == mostKeys:
			return errors.New("there is too much of it")
		}
		name := strings.Trim(strings.Trim(word, `"`), "/")
		if path != "" {
			name = path + "/" + name
		}
		var err error
		switch next := p.word(); next {
		case "{":
			err = p.section(name, depth+1)
		case "=":
			err = p.value(name)
		default:
			err = fmt.Errorf("%.20q behind the name %.40q", next, name)
		}
		if err != nil {
			return err
		}
	}
}

// value reads a number, a string or a list.
func (p *parser) value(name string) error {
	word := p.word()
	if word != "[" {
		if word == "" || strings.ContainsAny(word[:1], "{}]=,") {
			return fmt.Errorf("%.20q where the value of %.40q belongs", word, name)
		}
		p.out[name] = unquote(word)
		return nil
	}
	for word != "]" {
		if word = p.word(); word == "" || word == "{" || word == "}" {
			return fmt.Errorf("the list %.40q has no end", name)
		}
	}
	return nil
}

// unquote takes the quotes off a string, and the backslashes in it.
func unquote(word string) string {
	if len(word) < 2 || word[0] != '"' && word[0] != '\'' {
		return word
	}
	quote, word := word[0], word[1:len(word)-1]
	if quote == '\'' {
		return word
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(word)
}

// word takes the next word: a sign of the grammar, a string with its quotes, or what
// stands between. "" is the end.
func (p *parser) word() string {
	for p.rest != "" {
		switch c := p.rest[0]; {
		case c == '#':
			at := strings.IndexByte(p.rest, '\n')
			if at < 0 {
				at = len(p.rest)
			}
			p.rest = p.rest[at:]
		case c == '\n':
			p.line++
			p.rest = p.rest[1:]
		case c == ' ' || c == '\t' || c == '\r' || c == 0:
			p.rest = p.rest[1:]
		case strings.IndexByte("{}[]=,", c) >= 0:
			return p.take(1)
		case c == '"' || c == '\'':
			return p.take(quoted(p.rest))
		default:
			end := strings.IndexAny(p.rest, "{}[]=,# \t\r\n\x00")
			if end < 0 {
				end = len(p.rest)
			}
			return p.take(end)
		}
	}
	return ""
}

func (p *parser) take(n int) string {
	word := p.rest[:n]
	p.rest = p.rest[n:]
	p.line += strings.Count(word, "\n")
	return word
}

// quoted is the length of the string that s begins with, the rest if it has no end.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[0] == '"' && s[i] == '\\':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}
