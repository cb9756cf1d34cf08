package dockerd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFile(t *testing.T) {
	on := true
	for _, tt := range []struct {
		name, text string
		want       *File
		line       int // of the error; 0 for none
	}{
		{name: "empty", text: " \n", want: &File{}},
		{name: "what matters", text: `{"live-restore": true, "graph": "/g", "log-opts": {"token": "x"}, "storage-opts": ["a=1"]}`,
			want: &File{LiveRestore: &on, Graph: "/g", StorageOpts: []string{"a=1"}}},
		{name: "cut off", text: "{\n\"live-restore\": \n", line: 3},
		{name: "a comma too many", text: "{\n\"live-restore\": true,\n}", line: 3},
		{name: "another type", text: "{\n\n\"live-restore\": \"yes\"}", line: 3},
		{name: "a list", text: "[]", line: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFile([]byte(tt.text))
			if line := lineOfError(err); line != tt.line {
				t.Errorf("line %d, want %d: %v", line, tt.line, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func lineOfError(err error) int {
	if bad, ok := err.(*FormatError); ok {
		return bad.Line
	}
	return 0
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       map[string]int
	}{
		{"nothing", "", map[string]int{}},
		{"no object", "[1]", map[string]int{}},
		{"nested", "{\n\"a\": {\"b\": [1,\n2]},\n\"storage-opts\": [\n\"x\",\n\"y\"],\n\"c\": true}", map[string]int{"a": 2, "storage-opts": 4, "storage-opts.0": 5, "storage-opts.1": 6, "c": 7}},
		{"twice", "{\"a\": 1,\n\"a\": 2}", map[string]int{"a": 2}},
		{"in upper case", "{\"A\": [\n1]}", map[string]int{"a": 1, "a.0": 2}},
		{"cut off", "{\"a\": 1,\n\"b\": [", map[string]int{"a": 1, "b": 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Lines([]byte(tt.text))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseFlags(t *testing.T) {
	on, off := true, false
	for _, tt := range []struct {
		name string
		argv []string
		want Flags
	}{
		{"none", []string{"dockerd"}, Flags{}},
		{"each form", []string{"dockerd", "--live-restore", "-s", "devicemapper", "--storage-opt", "a=1", "--storage-opt=b=2", "--exec-root=/x", "-g", "/g"},
			Flags{LiveRestore: &on, StorageDriver: "devicemapper", StorageOpts: []string{"a=1", "b=2"}, ExecRoot: "/x", DataRoot: "/g", RootFlag: "-g"}},
		{"the last one", []string{"dockerd", "--live-restore", "--live-restore=false"}, Flags{LiveRestore: &off}},
		{"behind the end", []string{"dockerd", "--", "--live-restore"}, Flags{}},
		{"no value", []string{"dockerd", "--exec-root"}, Flags{}},
		{"no argv", nil, Flags{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseFlags(tt.argv)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(`{"live-restore": true, "graph": "/x"}`))
	f.Add([]byte("null"))
	f.Add([]byte("{\"a\": [\n1], \"b\": {\"c\": [[]]}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseFile(text)
		if (got == nil) == (err == nil) {
			t.Errorf("%v and %v", got, err)
		}
		for name, line := range Lines(text) {
			if line < 1 {
				t.Errorf("%q on line %d", name, line)
			}
		}
	})
}
