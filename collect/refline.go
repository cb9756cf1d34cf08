package collect

import (
	"bytes"
	"math"

	"sexton.dev/snapshot"
)

// A refReader reads the references of the child's lines. A host has tens of thousands,
// and encoding/json takes ten times as long for one: what it would read so is
// read here, if the fields are in the order in which the child writes them and no
// text needs an escape. All other lines are left to it.
type refReader struct {
	rest  []byte
	bad   bool              // the line is not such a one
	texts map[string]string // kinds and devices, which are few
}

func (r *refReader) read(line []byte) (ref snapshot.Reference, ok bool) {
	r.rest, r.bad = line, false
	r.expect(`{"ref":{"pid":`)
	ref.PID = int(r.number(math.MaxInt32))
	if r.has(`,"tid":`) {
		ref.TID = int(r.number(math.MaxInt32))
	}
	r.expect(`,"kind":`)
	ref.Kind = r.known(r.text())
	if r.has(`,"fd":`) {
		ref.FD = int(r.number(math.MaxInt32))
	}
	if r.has(`,"mount":`) {
		ref.Mount = r.number(math.MaxUint64)
	}
	r.expect(`,"device":`)
	ref.Device = r.known(r.text())
	r.expect(`,"inode":`)
	ref.Inode = r.number(math.MaxUint64)
	r.expect(`,"link":`)
	ref.Link = string(r.text())
	r.expect("}}\n")
	return ref, !r.bad && len(r.rest) == 0
}

// has reports whether the line goes on so, and passes over it.
func (r *refReader) has(text string) (is bool) {
	if is = len(r.rest) >= len(text) && string(r.rest[:len(text)]) == text; is {
		r.rest = r.rest[len(text):]
	}
	return is
}

func (r *refReader) expect(text string) { r.bad = !r.has(text) || r.bad }

// number passes over a number of at most 19 digits, which no JSON begins with 0.
func (r *refReader) number(most uint64) (n uint64) {
	i := 0
	for ; i < len(r.rest) && r.rest[i] >= '0' && r.rest[i] <= '9' && i < 20; i++ {
		n = n*10 + uint64(r.rest[i]-'0')
	}
	r.bad = r.bad || i == 0 || i > 19 || n > most || i > 1 && r.rest[0] == '0'
	r.rest = r.rest[i:]
	return n
}

// text passes over a text of ASCII characters that mean themselves.
func (r *refReader) text() []byte {
	r.expect(`"`)
	end := max(0, bytes.IndexByte(r.rest, '"'))
	text := r.rest[:end]
	for _, c := range text {
		r.bad = r.bad || c < ' ' || c > '~' || c == '\\'
	}
	r.rest = r.rest[end:]
	r.expect(`"`)
	return text
}

// known is a text that was made once.
func (r *refReader) known(text []byte) string {
	s, is := r.texts[string(text)]
	if !is {
		s = string(text)
		r.texts[s] = s
	}
	return s
}
