package lint

import (
	"strings"

	"github.com/docker/go-units"
	"go.yaml.in/yaml/v3"

	"sexton.dev/settings"
)

// compose reads the services of a compose file.
//
// Source: the Compose specification, 05-services.md, 12-interpolation.md.
func (r *reader) compose(services node) {
	for i := 0; i+1 < len(services.Content); i += 2 {
		key, s := services.Content[i], services.child(services.Content[i+1])
		if strings.HasPrefix(key.Value, "x-") || s.null() {
			continue
		}
		if !s.is(yaml.MappingNode) {
			s.wrong("service "+key.Value, "a mapping")
			continue
		}
		w := settings.Workload{Format: settings.Compose, Kind: "service", Name: key.Value, File: r.file}
		w.OtherPID1 = s.text("pid") != "" // the host's, or that of another container
		w.Containers = []settings.Container{r.service(s)}
		r.set.Workloads = append(r.set.Workloads, w)
	}
}

func (r *reader) service(s node) settings.Container {
	out := settings.Container{Init: s.yes("init") || strings.HasPrefix(s.text("init"), "/")}
	out.Program.Place = r.at(s.line())
	for _, key := range []string{"entrypoint", "command"} {
		v := s.get(key)
		if v.null() {
			continue
		}
		if len(out.Program.Argv) == 0 {
			out.Program.Place = r.at(v.line())
		}
		if v.is(yaml.ScalarNode) { // no shell runs it
			out.Program.Argv = append(out.Program.Argv, words(known(v.Value))...)
			continue
		}
		for _, text := range s.texts(key) {
			out.Program.Argv = append(out.Program.Argv, known(text))
		}
	}
	for _, v := range s.items("volumes") {
		if b, ok := r.volume(v); ok {
			out.Binds = append(out.Binds, b)
		}
	}
	for _, limit := range []node{s.get("mem_limit"), s.at("deploy", "resources", "limits", "memory")} {
		if limit.is(yaml.ScalarNode) && !limit.null() {
			out.Memory = r.memory(limit)
		}
	}
	return out
}

func (r *reader) memory(limit node) settings.Memory {
	text, whole := interpolate(limit.Value)
	m := settings.Memory{Text: text, Place: r.at(limit.line())}
	if !whole {
		return m
	}
	bytes, err := units.RAMInBytes(text)
	if err != nil {
		r.fail(limit.line(), "a number and a unit: 64m", "%.40q is no amount of memory", text)
	}
	m.Bytes = bytes
	return m
}

// volume reads a volume in either form; false for what is no directory of the host.
func (r *reader) volume(v node) (b settings.Bind, ok bool) {
	b.Place = r.at(v.line())
	if v.is(yaml.MappingNode) {
		b.Host, ok = interpolate(v.text("source"))
		b.At, b.Propagation = v.text("target"), v.get("bind").text("propagation")
		b.Shallow = v.get("bind").text("recursive") == "disabled"
		return b, ok && v.text("type") == "bind"
	}
	if !v.is(yaml.ScalarNode) {
		v.wrong("a volume", "a text or mapping")
		return b, false
	}
	text, whole := interpolate(v.Value)
	parts := strings.Split(text, ":")
	if !whole || len(parts) < 2 {
		return b, false
	}
	b.Host, b.At = parts[0], parts[1]
	if len(parts) > 2 {
		for option := range strings.SplitSeq(parts[2], ",") {
			if strings.HasSuffix(option, "slave") || strings.HasSuffix(option, "shared") || strings.HasSuffix(option, "private") {
				b.Propagation = option
			} else {
				b.Options = append(b.Options, option)
			}
			b.Shallow = b.Shallow || option == "bind-nonrecursive"
		}
	}
	return b, true
}

// known is a text with what is known of its variables; the others stay.
func known(text string) string {
	out, _ := interpolate(text)
	return out
}

// interpolate replaces variables by their defaults, and "$$" by "$". It reports
// false if one has none: what it is then is in nobody's file.
func interpolate(text string) (out string, whole bool) {
	var b strings.Builder
	whole = true
	for len(text) > 0 {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if text = rest; !found {
			break
		}
		if text, found = strings.CutPrefix(text, "$"); found {
			b.WriteByte('$')
			continue
		}
		inside, after, closed := cutBraces(text)
		if !closed {
			b.WriteByte('$')
			whole = whole && (text == "" || !isName(text[0]))
			continue
		}
		text = after
		name := strings.IndexFunc(inside, func(r rune) bool { return r >= 0x80 || !isName(byte(r)) })
		switch {
		case name > 0 && strings.HasPrefix(inside[name:], ":-"):
			b.WriteString(inside[name+2:])
		case name > 0 && inside[name] == '-':
			b.WriteString(inside[name+1:])
		default:
			b.WriteString("${" + inside + "}")
			whole = false
		}
	}
	return b.String(), whole
}

// cutBraces cuts "{...}" off the front of a text, pairs within it included.
func cutBraces(text string) (inside, after string, ok bool) {
	if !strings.HasPrefix(text, "{") {
		return "", text, false
	}
	deep := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			deep++
		case '}':
			if deep--; deep == 0 {
				return text[1:i], text[i+1:], true
			}
		}
	}
	return "", text, false
}

func isName(b byte) bool {
	return b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}
