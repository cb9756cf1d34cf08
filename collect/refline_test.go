package collect

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

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

// The lines that a child writes of plain names are read here.
func TestRefReader(t *testing.T) {
	r := refReader{texts: map[string]string{}}
	for _, want := range []snapshot.Reference{
		{PID: 7, Kind: "cwd", Mount: 2147483676, Device: "254:0", Inode: 2, Link: "/"},
		{PID: 7, TID: 9, Kind: "fd", FD: 4, Mount: 5, Device: "0:4", Inode: 1<<62 + 1, Link: "/var/log/x (deleted)"},
		{PID: 1, Kind: "iouring", FD: 1, Device: "", Link: ""},
	} {
		var out strings.Builder
		w := newLineWriter(&out)
		if err := w.write(refLine{Ref: &want}); err != nil {
			t.Fatal(err)
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		if got, ok := r.read([]byte(out.String())); !ok || got != want {
			t.Errorf("%q: %+v, %v", out.String(), got, ok)
		}
	}
}
