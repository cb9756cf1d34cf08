package collect

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"sexton.dev/snapshot"
)

// reference writes the line of one.
func (w *lineWriter) reference(ref *snapshot.Reference) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if line, ok := appendRef(w.out.AvailableBuffer(), ref); ok {
		_, err := w.out.Write(line)
		return err
	}
	line := refLine{Ref: ref}
	if !utf8.ValidString(ref.Link) {
		line.Link = []byte(ref.Link)
	}
	return w.enc.Encode(line)
}

// appendRef appends the line of a reference, as encoding/json would, which takes eight
// times as long. Not ok: a text needs an escape, or the field is a rare one; it is left to that.
func appendRef(line []byte, ref *snapshot.Reference) (out []byte, ok bool) {
	if !plain(ref.Kind) || !plain(ref.Device) || !plain(ref.Link) || ref.Layer != "" {
		return line, false
	}
	number := func(key string, n uint64) {
		line = strconv.AppendUint(append(line, key...), n, 10)
	}
	number(`{"ref":{"pid":`, uint64(ref.PID))
	if ref.TID != 0 {
		number(`,"tid":`, uint64(ref.TID))
	}
	line = append(append(append(line, `,"kind":"`...), ref.Kind...), '"')
	if ref.FD != 0 {
		number(`,"fd":`, uint64(ref.FD))
	}
	if ref.Mount != 0 {
		number(`,"mount":`, ref.Mount)
	}
	line = append(append(append(line, `,"device":"`...), ref.Device...), '"')
	number(`,"inode":`, ref.Inode)
	line = append(append(append(line, `,"link":"`...), ref.Link...), "\"}}\n"...)
	return line, true
}

// plain reports whether a text stands in JSON as it is.
func plain[T string | []byte](text T) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

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
	r.bad = r.bad || !plain(text)
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
