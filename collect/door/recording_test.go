package door

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An item is one entry of a hand-made archive.
type item struct {
	name, body string
	link       string
	records    map[string]string
}

const (
	goodHead = `{"kind":"sexton recording","format":1,"version":"v1","interval":"0s"}`
	goodLook = `{"taken":"2026-01-02T03:04:05Z"}`
)

func archive(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, it := range items {
		h := &tar.Header{Name: it.name, Size: int64(len(it.body)), Mode: 0o600, Typeflag: tar.TypeReg, PAXRecords: it.records}
		if it.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, it.link
		}
		if strings.HasSuffix(it.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, it.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zip(t testing.TB, plain []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

func TestOpenRecordingRefuses(t *testing.T) {
	head, look := item{name: "manifest.json", body: goodHead}, item{name: "look-1/look.json", body: goodLook}
	stat := item{name: "look-1/proc/1/stat", body: "1 (a) S"}
	end := func(looks, entries int) item {
		return item{name: "end.json", body: fmt.Sprintf(`{"looks":%d,"entries":%d}`, looks, entries)}
	}
	pack := func(items ...item) []byte { return zip(t, archive(t, items...)) }
	for _, tt := range []struct {
		name string
		file []byte
		want string // "" if it is good
	}{
		{"good", pack(head, look, stat, end(1, 1)), ""},
		{"no looks", pack(head, end(0, 0)), "holds no look"},
		{"no answers, not compressed", archive(t, head, look, end(1, 0)), ""},
		{"unknown fields", pack(item{name: "manifest.json", body: `{"kind":"sexton recording","format":1,"interval":"0s","new":{}}`}, look, end(1, 0)), ""},
		{"empty", nil, "ends early: it was not finished"},
		{"no archive", zip(t, nil), "ends early"},
		{"no entries", pack(), "ends early"},
		{"no end", pack(head, look, stat), "ends early: it was not finished"},
		{"an answer is missing", pack(head, look, end(1, 1)), "is damaged: it has 1 looks with 0 answers and should have 1 with 1"},
		{"a look is missing", pack(head, look, end(2, 0)), "is damaged: it has 1 looks"},
		{"text", []byte("hello"), "is neither a recording nor a sos report"},
		{"a compressed text", zip(t, bytes.Repeat([]byte("hello "), 200)), "is not a recording"},
		{"another archive", pack(item{name: "x"}), "is not a recording"},
		{"another manifest", pack(item{name: "manifest.json", body: `{"kind":"x","format":1}`}), "is not a recording"},
		{"no manifest", pack(item{name: "manifest.json", body: `[`}), "is not a recording"},
		{"newer", pack(item{name: "manifest.json", body: `{"kind":"sexton recording","format":2,"version":"v9"}`}), "was written by a newer sexton (v9)"},
		{"no interval", pack(item{name: "manifest.json", body: `{"kind":"sexton recording","format":1}`}), "interval"},
		{"twice", pack(head, look, stat, stat, end(1, 2)), "is there twice"},
		{"twice by another name", pack(head, look, stat, item{name: "look-1/other/1", records: map[string]string{paxOp: opRead, paxPath: "/proc/1/stat"}}, end(1, 2)), "is there twice"},
		{"absolute", pack(head, look, item{name: "/etc/passwd"}, end(1, 1)), "is no part of a recording"},
		{"above", pack(head, look, item{name: "../../etc/passwd"}, end(1, 1)), "is no part of a recording"},
		{"directory", pack(head, look, item{name: "look-1/proc/"}, end(1, 0)), "is no part of a recording"},
		{"no look", pack(head, stat, end(0, 1)), "comes before its look"},
		{"look out of turn", pack(head, item{name: "look-2/look.json", body: goodLook}), "out of turn"},
		{"look of another kind", pack(head, look, item{name: "look-1/other/1", records: map[string]string{paxOp: "write"}}, end(1, 1)), "unknown operation"},
		{"look without a time", pack(head, item{name: "look-1/look.json", body: `{"taken":"x"}`}), "look-1/look.json"},
		{"behind the end", pack(head, look, end(1, 1), stat), "is behind the end"},
		{"names cut", pack(head, look, item{name: "look-1/proc/.names", body: "1\n2"}, end(1, 1)), "the last name has no end"},
		{"xz", []byte("\xfd7zXZ\x00 and so on"), "is damaged"},
		{"behind the archive", zip(t, append(archive(t, head, end(0, 0)), make([]byte, 2<<20)...)), "bytes behind the archive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readRecording("FILE", bytes.NewReader(tt.file), maxBytes)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, new(*FileError)) || !strings.HasPrefix(err.Error(), "FILE ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want FILE ... %q", err, tt.want)
			}
		})
	}
}

// Names that would climb are keys of a map and nothing else.
func TestRecordingClimbs(t *testing.T) {
	file := archive(t, item{name: "manifest.json", body: goodHead}, item{name: "look-1/look.json", body: goodLook},
		item{name: "look-1/../../etc/passwd", body: "x"}, item{name: "look-1/proc/1/exe", link: "/etc/passwd"},
		item{name: "end.json", body: `{"looks":1,"entries":2}`})
	r, err := readRecording("FILE", bytes.NewReader(file), maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	if link, err := r.Looks()[0].ReadLink("/proc/1/exe"); link != "/etc/passwd" || err != nil {
		t.Errorf("%q, %v", link, err)
	}
	if text, err := r.Looks()[0].ReadFile("/../../etc/passwd"); err == nil {
		t.Errorf("%q", text)
	}
}

// small returns the bytes of a recording with one entry of each kind.
func small(t testing.TB) []byte {
	t.Helper()
	r, path := create(t, Meta{Version: "v1", Created: time.Unix(1e9, 0)})
	for range 2 {
		d := r.Look(&fakeDoor{
			taken: time.Unix(1e9, 5),
			read: func(path string) ([]byte, error) {
				if path == "/proc/2/stat" {
					return nil, syscall.ESRCH
				}
				return randomBytes(path, 300), nil
			},
			link: func(string) (string, error) { return "/bin/x", nil },
			dir:  func(string) ([]string, error) { return []string{"1", "2"}, nil },
		})
		d.ReadDir("/proc")
		d.ReadFile("/proc/1/stat")
		d.ReadFile("/proc/2/stat")
		d.ReadLink("/proc/1/exe")
		d.Ask("x", func() ([]byte, error) { return []byte("y"), errors.New("broken") })
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A recording cut anywhere is refused, and so is its archive cut before its end.
func TestRecordingCut(t *testing.T) {
	file := small(t)
	for n := range file {
		_, err := readRecording("FILE", bytes.NewReader(file[:n]), maxBytes)
		if err == nil || err.Error() != "FILE ends early: it was not finished" {
			t.Errorf("cut at %d of %d: %v", n, len(file), err)
		}
	}
	plain := archive(t, item{name: "manifest.json", body: goodHead}, item{name: "look-1/look.json", body: goodLook},
		item{name: "look-1/proc/1/stat", body: "x"}, item{name: "end.json", body: `{"looks":1,"entries":1}`})
	const trailer = 1024 // two empty blocks, which tar does not insist on
	for n := 0; n < len(plain)-trailer-511; n++ {
		if _, err := readRecording("FILE", bytes.NewReader(plain[:n]), maxBytes); err == nil {
			t.Errorf("archive cut at %d of %d", n, len(plain))
		}
	}
}

// A bit that flipped is found, or was one that says nothing.
func TestRecordingDamaged(t *testing.T) {
	file := small(t)
	good, err := readRecording("FILE", bytes.NewReader(file), maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for n := range file {
		bad := bytes.Clone(file)
		bad[n] ^= 0x10
		r, err := readRecording("FILE", bytes.NewReader(bad), maxBytes)
		if err != nil {
			found++
			continue
		}
		for i, l := range good.looks {
			for q, a := range l.answers {
				if got := r.looks[i].answers[q]; !sameAnswer(got, a) {
					t.Errorf("byte %d: %q is %v", n, q, got)
				}
			}
		}
	}
	if found < len(file)*9/10 {
		t.Errorf("found %d of %d", found, len(file))
	}
}

// zeros makes a compressed archive of entries of n zero bytes.
func zeros(t *testing.T, count int, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	put := func(name, body string, pad int64) {
		err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(body)) + pad})
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		chunk := make([]byte, 1<<20)
		for ; err == nil && pad > 0; pad -= int64(len(chunk)) {
			_, err = w.Write(chunk[:min(pad, int64(len(chunk)))])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("manifest.json", goodHead, 0)
	put("look-1/look.json", goodLook, 0)
	for i := range count {
		put(fmt.Sprintf("look-1/proc/%d/stat", i+1), "", n)
	}
	put("end.json", fmt.Sprintf(`{"looks":1,"entries":%d}`, count), 0)
	w.Close()
	z.Close()
	return b.Bytes()
}

// A small file that unpacks into a large one stops at the bound.
func TestRecordingBomb(t *testing.T) {
	file := zeros(t, 1, MaxFile)
	if _, err := readRecording("FILE", bytes.NewReader(file), maxBytes); err != nil {
		t.Errorf("an entry of MaxFile: %v", err)
	}
	file = zeros(t, 1, MaxFile+1)
	if _, err := readRecording("FILE", bytes.NewReader(file), maxBytes); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "FILE is too large") {
		t.Errorf("an entry over MaxFile: %v", err)
	}
	const limit = 32 << 20
	file = zeros(t, 9, limit/8-4096)
	t.Logf("%d bytes unpack to over %d MB", len(file), limit>>20)
	if _, err := readRecording("FILE", bytes.NewReader(file), limit); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the bound in all: %v", err)
	}
	if _, err := readRecording("FILE", bytes.NewReader(file), 2*limit); err != nil {
		t.Errorf("below the bound: %v", err)
	}
}

// What nobody keeps is bounded as well: a sos report is mostly skipped.
func TestUnpackBound(t *testing.T) {
	file := zeros(t, 4, 1<<20)
	for limit, want := range map[int64]error{3<<20 + 1: ErrTooLarge, 5 << 20: nil} {
		s, err := unpack("FILE", bytes.NewReader(file), limit)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, s); !errors.Is(err, want) || n > limit {
			t.Errorf("limit %d: read %d, %v", limit, n, err)
		}
		s.Close()
	}
}

// What is cheap in the file and dear in memory counts by its memory.
func TestRecordingBombOfNames(t *testing.T) {
	names := strings.Repeat("\n", 1<<20)
	file := archive(t, item{name: "manifest.json", body: goodHead}, item{name: "look-1/look.json", body: goodLook},
		item{name: "look-1/proc/.names", body: names}, item{name: "end.json", body: `{"looks":1,"entries":1}`})
	l := loader{name: "FILE", room: 8 << 20}
	if err := l.load(bytes.NewReader(file)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("16 MB of names in 8 MB: %v", err)
	}
	l = loader{name: "FILE", room: 20 << 20}
	if err := l.load(bytes.NewReader(file)); err != nil {
		t.Error(err)
	}
}
