package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxMarks   = 2_000_000  // characters of one YAML document that may begin a value: as many nodes at most, of 200 bytes. All pods of a large cluster have fewer
	maxVisits  = 10_000_000 // nodes that are looked at in one document: aliases can make more of few
	maxAliases = 16         // that are followed to one node
)

// A node is a value of a YAML document. The zero node is one that is not there.
type node struct {
	*yaml.Node
	doc *document
}

// A document is where a node is from.
type document struct {
	r      *reader
	before int // lines of the file before it
	visits int
}

// documents gives each YAML document of a text. A broken one is told, and the next one read.
func (r *reader) documents(text []byte, give func(node)) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" ")) // JSON has tabs between values, YAML has not
	}
	before, from, line := 0, 0, 0
	at := 0
	for raw := range bytes.Lines(text) {
		if isMark(raw) && at > from {
			r.document(text[from:at], before, give)
			from, before = at, line
		}
		at += len(raw)
		line++
	}
	r.document(text[from:], before, give)
}

// isMark tells the line that begins a document; it stands nowhere else in one.
func isMark(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// items gives the items of a list in JSON, one at a time: all pods of a cluster are
// more than is read at once. It reports false for what is no such list.
func (r *reader) items(text []byte, before int, give func(node)) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	for _, want := range []json.Delim{'{', '['} {
		for {
			t, err := d.Token()
			if err != nil || want == '{' && t != want {
				return false
			}
			if t == want {
				break
			}
			var other json.RawMessage
			if t != "items" && d.Decode(&other) != nil {
				return false
			}
		}
	}
	counted := 0 // bytes of which the lines are in before
	for d.More() {
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			at := int(d.InputOffset())
			r.fail(before+1+bytes.Count(text[counted:at], []byte("\n")), "mend the JSON there", "%w", err)
			return true
		}
		at := int(d.InputOffset()) - len(item)
		before += bytes.Count(text[counted:at], []byte("\n"))
		counted = at
		r.document(item, before, give)
	}
	return true
}

// marks counts the characters that may begin a value.
func marks(text []byte) (n int) {
	for _, b := range text {
		switch b {
		case '\n', ',', ':', '-', '[', '{', '?':
			n++
		}
	}
	return n
}

func (r *reader) document(text []byte, before int, give func(node)) {
	if marks(text) > maxMarks {
		if r.items(text, before, give) {
			return
		}
		r.fail(before+1, "a part of it at a time, as of one namespace", "a YAML document with over %d values", maxMarks/2)
		return
	}
	var n yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&n)
	switch {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		line, err := lineIn(err)
		if strings.Contains(err.Error(), "did not find expected") {
			line++ // the library counts from 0 where its parser complains, and from 1 where its scanner does
		}
		line = min(line, 1+bytes.Count(bytes.TrimRight(text, "\n"), []byte("\n"))) // not behind the end
		try := "mend the YAML there, or a line or two before"
		if bytes.Contains(text, []byte("{{")) {
			try = "render the template first: helm template CHART | sexton lint -"
		}
		r.fail(before+max(line, 1), try, "%w", err)
		return
	case len(n.Content) == 0:
		return
	}
	doc := &document{r: r, before: before}
	give(node{n.Content[0], doc})
	if doc.visits > maxVisits {
		r.fail(before+1, "write out what its aliases stand for", "a YAML document with too many aliases: only a part was judged")
	}
}

// node makes one of a child, following its aliases.
func (n node) child(c *yaml.Node) node {
	if n.doc.visits++; n.doc.visits > maxVisits {
		return node{}
	}
	for range maxAliases {
		if c == nil || c.Kind != yaml.AliasNode {
			break
		}
		c = c.Alias
	}
	return node{c, n.doc}
}

func (n node) is(kind yaml.Kind) bool { return n.Node != nil && n.Kind == kind }

// null is a value that says nothing.
func (n node) null() bool { return n.Node == nil || n.is(yaml.ScalarNode) && n.Tag == "!!null" }

// line is the line of the file that the value begins on.
func (n node) line() int {
	if n.Node == nil {
		return 0
	}
	return n.doc.before + n.Line
}

// get is the value of a key, the last one of several; then that of a "<<", which
// takes other mappings in.
func (n node) get(key string) node { return n.lookUp(key, 0) }

func (n node) lookUp(key string, deep int) node {
	if !n.is(yaml.MappingNode) || deep > maxAliases { // one may take itself in
		return node{}
	}
	var found, merged node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.doc.visits++; n.doc.visits > maxVisits {
			return node{}
		}
		switch k := n.Content[i]; {
		case k.Value == key:
			found = n.child(n.Content[i+1])
		case k.Tag == "!!merge":
			merged = n.child(n.Content[i+1])
		}
	}
	if found.Node != nil || merged.Node == nil {
		return found
	}
	if merged.is(yaml.SequenceNode) {
		for _, c := range merged.Content {
			if v := merged.child(c).lookUp(key, deep+1); v.Node != nil {
				return v
			}
		}
		return node{}
	}
	return merged.lookUp(key, deep+1)
}

// at follows keys.
func (n node) at(keys ...string) node {
	for _, key := range keys {
		n = n.get(key)
	}
	return n
}

// text is the text of a scalar under a key, "" if there is none.
func (n node) text(key string) string {
	v := n.get(key)
	if v.null() {
		return ""
	}
	if !v.is(yaml.ScalarNode) {
		v.wrong(key, "a text")
		return ""
	}
	return v.Value
}

// yes reports whether the value under a key is true, as YAML 1.1 has it.
func (n node) yes(key string) bool {
	return slices.Contains([]string{"true", "yes", "on", "y"}, strings.ToLower(n.text(key)))
}

// items are those of a list under a key.
func (n node) items(key string) (out []node) {
	v := n.get(key)
	if v.null() {
		return nil
	}
	if !v.is(yaml.SequenceNode) {
		v.wrong(key, "a list")
		return nil
	}
	for _, c := range v.Content {
		if item := v.child(c); item.Node != nil {
			out = append(out, item)
		}
	}
	return out
}

// mappings are the items of a list under a key that are mappings.
func (n node) mappings(key string) (out []node) {
	for _, item := range n.items(key) {
		if item.is(yaml.MappingNode) {
			out = append(out, item)
		} else {
			item.wrong("an item of "+key, "a mapping")
		}
	}
	return out
}

// texts are the scalars of a list under a key.
func (n node) texts(key string) (out []string) {
	for _, item := range n.items(key) {
		if !item.is(yaml.ScalarNode) {
			item.wrong("an item of "+key, "a text")
			continue
		}
		out = append(out, item.Value)
	}
	return out
}

// wrong tells that a value is of another type.
func (n node) wrong(what, want string) {
	n.doc.r.fail(n.line(), "write "+what+" as the format has it", "%s is no %s", what, strings.TrimPrefix(want, "a "))
}
