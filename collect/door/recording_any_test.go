package door

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

func TestOpenAny(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, file []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(archive(t, sosItems...))
	w.Close()
	var xzip bytes.Buffer
	x, err := xz.NewWriter(&xzip)
	if err != nil {
		t.Fatal(err)
	}
	x.Write(archive(t, sosItems...))
	x.Close()
	recording := small(t)
	for _, tt := range []struct {
		name, path string
		want       string // the host's name, "" if it is refused
	}{
		{"recording", write("a", zip(t, archive(t, item{name: "manifest.json", body: `{"kind":"sexton recording","format":1,"interval":"0s","name":"recorded"}`},
			item{name: "look-1/look.json", body: goodLook}, item{name: "end.json", body: `{"looks":1}`}))), "recorded"},
		{"sos.tar", write("b", archive(t, sosItems...)), "db1"},
		{"sos.tar.gz", write("c", gz.Bytes()), "db1"},
		{"sos.tar.xz", write("j", xzip.Bytes()), "db1"},
		{"cut sos.tar.xz", write("k", xzip.Bytes()[:xzip.Len()/2]), ""},
		{"sos.tar.zst", write("d", zip(t, archive(t, sosItems...))), "db1"},
		{"sos directory", sosTree(t), "db1"},
		{"cut recording", write("e", recording[:len(recording)/2]), ""},
		{"cut after the magic", write("f", recording[:5]), ""},
		{"cut sos", write("g", gz.Bytes()[:gz.Len()/2]), ""},
		{"text", write("h", []byte("hello")), ""},
		{"another archive", write("i", archive(t, item{name: "x/y"})), ""},
		{"another directory", dir, ""},
		{"nothing", filepath.Join(dir, "none"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := OpenAny(tt.path)
			if tt.want == "" {
				if err == nil {
					t.Fatalf("opened as %+v", r.Meta())
				}
				t.Log(err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Meta().Name != tt.want {
				t.Errorf("host %q", r.Meta().Name)
			}
		})
	}
}

func FuzzOpenRecording(f *testing.F) {
	f.Add(small(f))
	f.Add(archive(f, item{name: "manifest.json", body: goodHead}, item{name: "look-1/look.json", body: goodLook},
		item{name: "look-1/proc/.names", body: "1\n2\n"}, item{name: "look-1/proc/1/exe", link: "/x"},
		item{name: "look-1/proc/1/stat.error", body: "x\n", records: map[string]string{paxOp: opRead, paxPath: "/proc/1/stat", paxError: "x", paxErrno: "ESRCH", paxIs: "deadline,none"}},
		item{name: "end.json", body: `{"looks":1,"entries":3}`}))
	f.Add(archive(f, sosItems...))
	f.Fuzz(func(t *testing.T, file []byte) {
		if r, err := readRecording("FILE", bytes.NewReader(file), maxBytes); err == nil {
			for _, d := range r.Looks() {
				for q, a := range d.(*pastLook).answers {
					if got := put(d, q, answer{}); refuse(q.op, q.path) == nil && !sameAnswer(got, a) {
						t.Errorf("%q: %v, want %v", q, got, a)
					}
				}
			}
		} else if !errors.As(err, new(*FileError)) {
			t.Errorf("not a FileError: %#v", err)
		}
		s := newSOS()
		if s.readArchive("FILE", bytes.NewReader(file)) == nil {
			s.recording(time.Time{})
		}
	})
}

// FuzzEntry gives the loader entries whose checksums are right.
func FuzzEntry(f *testing.F) {
	f.Add("look-1/proc/1/stat", "x", "", "", "", "", "")
	f.Add("look-1/proc/.names", "1\n2\n", "", opDir, "/proc", "x", "ESRCH,deadline")
	f.Add("look-1/other/1", "1\x00", "/x", opLink, "/proc/1/exe", "", "4711")
	f.Fuzz(func(t *testing.T, name, body, link, op, path, text, codes string) {
		records := map[string]string{}
		for key, value := range map[string]string{paxOp: op, paxPath: path, paxError: text, paxErrno: codes, paxIs: codes, paxSplit: codes} {
			if value != "" {
				records[key] = value
			}
		}
		h := &tar.Header{Name: name, Size: int64(len(body)), Typeflag: tar.TypeReg, PAXRecords: records}
		if link != "" {
			h.Typeflag, h.Linkname, h.Size, body = tar.TypeSymlink, link, 0, ""
		}
		var b bytes.Buffer
		b.Write(bytes.TrimRight(archive(t, item{name: "manifest.json", body: goodHead}, item{name: "look-1/look.json", body: goodLook}), "\x00"))
		b.Write(make([]byte, -b.Len()&511))
		w := tar.NewWriter(&b)
		if w.WriteHeader(h) != nil {
			return
		}
		io.WriteString(w, body)
		if err := w.WriteHeader(&tar.Header{Name: "end.json", Size: 24}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, `{"looks":1,"entries":1 }`)
		w.Close()
		r, err := readRecording("FILE", &b, maxBytes)
		if err != nil {
			if !errors.As(err, new(*FileError)) {
				t.Errorf("not a FileError: %#v", err)
			}
			return
		}
		for q, a := range r.looks[0].answers {
			if a.err != nil && a.err.Error() == "" {
				t.Errorf("%q: an error without a text", q)
			}
			put(r.looks[0], q, answer{})
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	r, err := readRecording("FILE", bytes.NewReader(small(b)), maxBytes)
	if err != nil {
		b.Fatal(err)
	}
	d := r.Looks()[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.ReadFile("/proc/1/stat"); err != nil {
			b.Fatal(err)
		}
	}
}
