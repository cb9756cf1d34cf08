package door

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// A Recording is a host as it was written down, held in memory.
type Recording struct {
	meta  Meta
	looks []*pastLook
}

// Meta returns where the recording comes from.
func (r *Recording) Meta() Meta { return r.meta }

// Looks returns its looks in order, at least one.
func (r *Recording) Looks() []Door {
	looks := make([]Door, len(r.looks))
	for i, l := range r.looks {
		looks[i] = l
	}
	return looks
}

// A FileError says why a file cannot be used as a recording.
type FileError struct {
	Path string
	Why  string // ends the sentence that Path begins
	Try  string // what to do, "" if nothing is known to help
	Err  error  // nil if Why says all
}

func (e *FileError) Error() string {
	if e.Err == nil {
		return e.Path + " " + e.Why
	}
	return fmt.Sprintf("%s %s: %v", e.Path, e.Why, e.Err)
}

// Unwrap returns the cause: that of a read, [ErrTooLarge] or nil.
func (e *FileError) Unwrap() error { return e.Err }

// Hint returns what to do, "" if nothing is known to help.
func (e *FileError) Hint() string { return e.Try }

// Bounds of what a file may make of this process.
const (
	maxBytes   = 1 << 30  // of all entries unpacked
	maxEntries = 2 << 20  // 30,000 processes with 30 files in two looks
	maxStream  = 16 << 30 // of a sos report, which is mostly logs that are skipped
	maxHead    = 1 << 20  // manifest.json and its like
)

// OpenRecording reads a recording made by [Recorder], whole. It must be
// complete: a file that was cut anywhere is refused. Errors are [*FileError] or
// those of opening the file.
func OpenRecording(path string) (*Recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRecording(path, file, maxBytes)
}

// readRecording reads a recording of at most limit bytes from r; name is for
// errors.
func readRecording(name string, r io.Reader, limit int64) (*Recording, error) {
	stream, err := unpack(name, r, limit)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	l := loader{name: name, room: limit}
	if err := l.load(stream); err != nil {
		return nil, l.explain(err)
	}
	return &Recording{l.head.Meta, l.looks}, nil
}

// explain makes the errors of the layers below speak of the file.
func (l *loader) explain(err error) error {
	switch {
	case errors.As(err, new(*FileError)):
		return err
	case errors.Is(err, ErrTooLarge):
		return &FileError{l.name, "is too large for a recording", "", err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, errUnended):
		return &FileError{Path: l.name, Why: "ends early: it was not finished", Try: "record again"}
	}
	return &FileError{l.name, "is damaged", "copy it again, or record again", err}
}

// errUnended is the error of an archive that has no end entry.
var errUnended = errors.New("no end entry")

// A loader builds a Recording entry by entry.
type loader struct {
	name    string
	room    int64 // bytes that may still be kept
	entries int
	head    manifest
	end     *tail
	looks   []*pastLook
	answers int
}

func (l *loader) load(stream io.Reader) error {
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil && l.entries == 0 && errors.Is(err, tar.ErrHeader) {
			return l.foreign()
		}
		if err != nil {
			return err
		}
		if l.entries++; l.entries > maxEntries {
			return fmt.Errorf("over %d entries: %w", maxEntries, ErrTooLarge)
		}
		if err := l.add(h, archive); err != nil {
			return err
		}
	}
	if l.entries == 0 {
		return errUnended
	}
	// What compressed the archive ends it with a checksum: see it.
	if n, err := io.Copy(io.Discard, stream); err != nil {
		return err
	} else if n > 1<<20 {
		return fmt.Errorf("%d bytes behind the archive", n)
	}
	if l.end == nil {
		return errUnended
	}
	if l.end.Looks != len(l.looks) || l.end.Entries != l.answers {
		return fmt.Errorf("it has %d looks with %d answers and should have %d with %d",
			len(l.looks), l.answers, l.end.Looks, l.end.Entries)
	}
	if len(l.looks) == 0 {
		return &FileError{Path: l.name, Why: "holds no look at a host", Try: "record again"}
	}
	return nil
}

func (l *loader) foreign() error {
	return &FileError{Path: l.name, Why: "is not a recording", Try: "make one: sexton record FILE"}
}

func (l *loader) add(h *tar.Header, body io.Reader) error {
	if l.entries == 1 {
		return l.addHead(h, body)
	}
	if l.end != nil {
		return fmt.Errorf("entry %q is behind the end", h.Name)
	}
	if h.Name == endName {
		l.end = &tail{}
		return l.decode(h, body, l.end)
	}
	look, rest, ok := lookOf(h.Name)
	if !ok || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink {
		return fmt.Errorf("entry %q is no part of a recording", h.Name)
	}
	if rest == "/look.json" {
		var head lookHead
		if look != len(l.looks)+1 {
			return fmt.Errorf("entry %q is out of turn", h.Name)
		}
		if err := l.decode(h, body, &head); err != nil {
			return err
		}
		l.looks = append(l.looks, &pastLook{taken: head.Taken.UTC(), answers: map[question]answer{}})
		return nil
	}
	if look > len(l.looks) {
		return fmt.Errorf("entry %q comes before its look begins", h.Name)
	}
	q, err := questionOf(h, rest)
	if err != nil {
		return err
	}
	into := l.looks[look-1].answers
	if _, ok := into[q]; ok {
		return fmt.Errorf("entry %q is there twice", h.Name)
	}
	text, err := l.body(h, body)
	if err != nil {
		return err
	}
	if q.op == opDir {
		l.room -= 16 * int64(bytes.Count(text, []byte("\n"))+bytes.Count(text, []byte("\x00")))
	}
	if l.room < 0 {
		return ErrTooLarge
	}
	l.answers++
	into[q], err = answerOf(h, q, text)
	return err
}

// body reads an entry and takes its room.
func (l *loader) body(h *tar.Header, r io.Reader) ([]byte, error) {
	text, err := readBody(h, r, min(l.room, MaxFile))
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", h.Name, err)
	}
	const besides = 256 // of the map and the headers of strings
	l.room -= int64(len(text)+len(h.Name)+len(h.Linkname)) + besides
	return text, nil
}

// addHead takes the first entry, which tells a recording from other archives.
func (l *loader) addHead(h *tar.Header, body io.Reader) error {
	if h.Name != manifestName {
		return l.foreign()
	}
	text, err := readBody(h, body, maxHead)
	if err != nil {
		return fmt.Errorf("entry %q: %w", h.Name, err)
	}
	if json.Unmarshal(text, &l.head) != nil || l.head.Kind != kind || l.head.Format < 1 {
		return l.foreign()
	}
	if l.head.Format > format {
		return &FileError{Path: l.name, Why: "was written by a newer sexton (" + l.head.Version + ")", Try: "open it with that version"}
	}
	l.head.Meta.Interval, err = time.ParseDuration(l.head.Interval)
	if err != nil {
		return fmt.Errorf("entry %q: interval: %w", h.Name, err)
	}
	return nil
}

func (l *loader) decode(h *tar.Header, body io.Reader, v any) error {
	text, err := readBody(h, body, maxHead)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("entry %q: %w", h.Name, err)
	}
	return nil
}

// findAnswer finds one answer in a recording that is still being written.
func findAnswer(r io.Reader, key lookQuestion) (answer, error) {
	stream, err := unpack("", r, 1<<62)
	if err != nil {
		return answer{}, err
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		if err != nil {
			return answer{}, err
		}
		look, rest, ok := lookOf(h.Name)
		if !ok || look != key.look || rest == "/look.json" {
			continue
		}
		if q, err := questionOf(h, rest); err != nil || q != key.question {
			continue
		}
		body, err := readBody(h, archive, MaxFile)
		if err != nil {
			return answer{}, err
		}
		return answerOf(h, key.question, body)
	}
}

// clone returns an answer that its receiver may change.
func (a answer) clone() answer {
	return answer{bytes.Clone(a.data), slices.Clone(a.names), a.err}
}

// A pastLook is one look of a Recording.
type pastLook struct {
	taken   time.Time
	answers map[question]answer
}

func (l *pastLook) Taken() time.Time { return l.taken }

func (l *pastLook) ReadFile(path string) ([]byte, error) {
	a := l.answer(question{opRead, path})
	return a.data, a.err
}

func (l *pastLook) ReadLink(path string) (string, error) {
	a := l.answer(question{opLink, path})
	return string(a.data), a.err
}

func (l *pastLook) ReadDir(path string) ([]string, error) {
	a := l.answer(question{opDir, path})
	return a.names, a.err
}

func (l *pastLook) Ask(name string, _ func() ([]byte, error)) ([]byte, error) {
	a := l.answer(question{opAsk, name})
	return a.data, a.err
}

func (l *pastLook) answer(q question) answer {
	if err := refuse(q.op, q.path); err != nil {
		return answer{err: &Error{q.op, q.path, err}}
	}
	a, ok := l.answers[q]
	if !ok {
		return answer{err: &Error{q.op, q.path, ErrNotRecorded}}
	}
	return a.clone()
}
