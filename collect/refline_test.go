package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"sexton.dev/snapshot"
)

// What is read here is what encoding/json reads.
func FuzzRefReader(f *testing.F) {
	whole := snapshot.Reference{PID: 7, TID: 8, Kind: "fd", FD: 3, Mount: 1<<63 + 5, Device: "254:0", Inode: 1 << 60, Link: "/a b"}
	for _, ref := range []snapshot.Reference{{}, whole, {Link: "<"}, {Link: "\xff"}, {Link: `"\`}, {Link: "é"}, {PID: 1, Layer: "/l"}} {
		line, err := json.Marshal(refLine{Ref: &ref})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(line) + "\n")
		f.Add(string(line))
		f.Add(strings.Replace(string(line), `"pid":`, `"pid":0`, 1) + "\n")
		f.Add(strings.Replace(string(line), `"pid":`, `"pid":99999999999999999999`, 1) + "\n")
		f.Add(strings.Replace(string(line), `"inode":`, `"inode":99999999999999999999`, 1) + "\n")
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := refReader{texts: map[string]string{}}
		got, ok := r.read([]byte(line))
		if !ok {
			return
		}
		var want refLine
		if err := json.Unmarshal([]byte(line), &want); err != nil || !reflect.DeepEqual(want, refLine{Ref: &got}) {
			t.Errorf("%q: %+v; encoding/json: %+v, %v", line, got, want.Ref, err)
		}
	})
}

// What a child writes is read back, by hand where the names are plain, and is what
// encoding/json writes.
func TestRefLines(t *testing.T) {
	for _, tt := range []struct {
		ref    snapshot.Reference
		byHand bool
	}{
		{snapshot.Reference{PID: 7, Kind: "cwd", Mount: 2147483676, Device: "254:0", Inode: 2, Link: "/"}, true},
		{snapshot.Reference{PID: 7, TID: 9, Kind: "fd", FD: 4, Mount: 5, Device: "0:4", Inode: 1<<62 + 1, Link: "/var/log/x (deleted)"}, true},
		{snapshot.Reference{PID: 1, Kind: "iouring", FD: 1}, true},
		{snapshot.Reference{PID: 1, Kind: "fd", Layer: "/l"}, false},
		{snapshot.Reference{PID: 1, Kind: "fd", Link: "/a<b"}, false},
		{snapshot.Reference{PID: 1, Kind: "fd", Link: "/a\"b\\c\n"}, false},
		{snapshot.Reference{PID: 1, Kind: "fd", Link: "/é"}, false},
		{snapshot.Reference{PID: 1, Kind: "fd", Link: "/\xff"}, false},
	} {
		var out, want bytes.Buffer
		w := newLineWriter(&out)
		if err := errors.Join(w.reference(&tt.ref), w.flush()); err != nil {
			t.Fatal(err)
		}
		line := refLine{Ref: &tt.ref}
		if tt.ref.Link == "/\xff" {
			line.Link = []byte(tt.ref.Link)
		}
		if err := json.NewEncoder(&want).Encode(line); err != nil || out.String() != want.String() {
			t.Errorf("%q, encoding/json: %q, %v", &out, &want, err)
		}
		r := refReader{texts: map[string]string{}}
		if got, byHand := r.read(out.Bytes()); byHand != tt.byHand || byHand && got != tt.ref {
			t.Errorf("%q: %+v, %v", &out, got, byHand)
		}
		l := &looker{Door: answer(out.String()), needs: map[snapshot.Part]bool{snapshot.References: true}, h: &snapshot.Host{}}
		var table snapshot.Mounts
		if l.references(t.Context(), &table, nil); len(table.References) != 1 || table.References[0] != tt.ref {
			t.Errorf("%q: %+v", &out, table.References)
		}
	}
}

// An answer is a door that has one.
type answer string

func (a answer) ReadFile(string) ([]byte, error)                    { return nil, fs.ErrNotExist }
func (a answer) ReadLink(string) (string, error)                    { return "", fs.ErrNotExist }
func (a answer) ReadDir(string) ([]string, error)                   { return nil, fs.ErrNotExist }
func (a answer) Ask(string, func() ([]byte, error)) ([]byte, error) { return []byte(a), nil }
func (a answer) Taken() time.Time                                   { return time.Time{} }
