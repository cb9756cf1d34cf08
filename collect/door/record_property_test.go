package door

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// Any answers to any questions come back from a recording as they were given.
func TestRecordProperty(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(dir, fmt.Sprint(runs))
		r, err := Create(path, Meta{})
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		defer r.Abort()
		type said struct {
			look int
			q    question
			a    answer
		}
		var all []said
		looks := rapid.IntRange(1, 3).Draw(t, "looks")
		var live answer
		doors := make([]Door, looks)
		for i := range doors {
			doors[i] = r.Look(&fakeDoor{
				read: func(string) ([]byte, error) { return live.data, live.err },
				link: func(string) (string, error) { return string(live.data), live.err },
				dir:  func(string) ([]string, error) { return live.names, live.err },
			})
		}
		for range rapid.IntRange(0, 30).Draw(t, "questions") {
			q := drawQuestion(t)
			live = drawAnswer(t, q)
			look := rapid.IntRange(0, looks-1).Draw(t, "look")
			all = append(all, said{look, q, put(doors[look], q, live)})
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		rec, err := OpenRecording(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			got := put(rec.Looks()[s.look], s.q, answer{err: errors.New("the host was asked")})
			if !sameAnswer(got, s.a) {
				t.Fatalf("look %d %q: said %v, replayed %v", s.look+1, s.q, s.a, got)
			}
		}
	})
}

// put asks d.
func put(d Door, q question, live answer) answer {
	var a answer
	switch q.op {
	case opRead:
		a.data, a.err = d.ReadFile(q.path)
	case opLink:
		var text string
		text, a.err = d.ReadLink(q.path)
		a.data = []byte(text)
	case opDir:
		a.names, a.err = d.ReadDir(q.path)
	case opAsk:
		a.data, a.err = d.Ask(q.path, func() ([]byte, error) { return live.data, live.err })
	}
	return a
}

func sameAnswer(a, b answer) bool {
	if !bytes.Equal(a.data, b.data) || !slices.Equal(a.names, b.names) || (a.err == nil) != (b.err == nil) {
		return false
	}
	if a.err == nil {
		return true
	}
	if a.err.Error() != b.err.Error() || Gone(a.err) != Gone(b.err) {
		return false
	}
	for _, s := range sentinels {
		if errors.Is(a.err, s.err) != errors.Is(b.err, s.err) {
			return false
		}
	}
	for no := syscall.Errno(1); no < 140; no++ {
		if errors.Is(a.err, no) != errors.Is(b.err, no) {
			return false
		}
	}
	return true
}

var drawByte = rapid.SampledFrom([]byte("a/\n\xff .\x01\\=%é"))

func drawQuestion(t *rapid.T) question {
	op := rapid.SampledFrom([]string{opRead, opLink, opDir, opAsk}).Draw(t, "op")
	name := string(rapid.SliceOfN(drawByte, 1, 200).Draw(t, "name"))
	if op == opAsk {
		return question{op, name}
	}
	fixed := []string{
		"/proc", "/proc/1", "/proc/1/stat", "/proc/1/mountinfo", "/proc/1/environ", "/proc/1/fd", "/proc/1/fd/2", "/proc/1/exe",
		"/proc/self", "/proc/self/stat", "/sys/.names", "/sys/x/.names", "/sys/x.error", "/sys/look.json", "/sys/" + name, "/sys/a/" + name,
	}
	return question{op, rapid.SampledFrom(fixed).Draw(t, "path")}
}

func drawAnswer(t *rapid.T, q question) answer {
	var a answer
	a.data = rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "data")
	switch q.op {
	case opLink:
		a.data = bytes.ReplaceAll(a.data, []byte{0}, []byte{1})
	case opDir:
		for _, name := range rapid.SliceOf(rapid.SliceOfN(drawByte, 1, 20)).Draw(t, "names") {
			a.names = append(a.names, strings.ReplaceAll(string(name), "/", "_"))
		}
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind of error") {
	case 0:
		a.err = syscall.Errno(rapid.IntRange(1, 140).Draw(t, "errno"))
	case 1:
		a.err = &Error{q.op, q.path, rapid.SampledFrom(sentinels).Draw(t, "sentinel").err}
	case 2:
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		no := syscall.Errno(rapid.IntRange(1, 140).Draw(t, "errno"))
		a.err = errors.Join(errors.New(text), no, rapid.SampledFrom(sentinels).Draw(t, "sentinel").err)
	}
	if a.err != nil {
		if q.op != opAsk {
			a.data = nil
		}
		a.names = nil
	}
	return a
}
