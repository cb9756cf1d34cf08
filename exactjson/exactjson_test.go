package exactjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Path string    `json:"path"`
	Skip string    `json:"skip,omitempty"`
	When time.Time `json:"when,omitzero"`
}

type outer struct {
	Name  string          `json:"name"`
	List  []inner         `json:"list"`
	Ptr   *inner          `json:"ptr,omitempty"`
	N     uint64          `json:"n"`
	Texts []string        `json:"texts,omitempty"`
	Own   bool            `json:"-"`
	Raw   json.RawMessage `json:"raw,omitempty"`
}

func TestMarshal(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{"empty lists are lists", outer{}, `{"name":"","list":[],"n":0}`},
		{"not UTF-8", inner{Path: "/a\xff"}, `{"path":"/a\\xff","pathBytes":"L2H/"}`},
		{"hostile but UTF-8", inner{Path: "\x1b<&>\u202e"}, `{"path":"\u001b<&>` + "\u202e" + `"}`},
		{"raw JSON", outer{Raw: json.RawMessage(`{"a":[1]}`)}, `{"name":"","list":[],"n":0,"raw":{"a":[1]}}`},
		{"nested", outer{Name: "x", List: []inner{{Path: "a", Skip: "b"}}, Ptr: &inner{}, N: 1 << 63, Texts: []string{"t"}},
			`{"name":"x","list":[{"path":"a","skip":"b"}],"ptr":{"path":""},"n":9223372036854775808,"texts":["t"]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Marshal(tt.in)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// Any bytes come back exactly, wherever they stand.
func FuzzBack(f *testing.F) {
	f.Add("a\xff\n")
	f.Add(`\xff`)
	f.Fuzz(func(t *testing.T, s string) {
		in := outer{Name: s, List: []inner{{}, {Path: "x" + s, Skip: s, When: time.Unix(1, 0).UTC()}}, Ptr: &inner{Path: s}, N: 7}
		text, err := Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var back outer
		if err := Unmarshal(text, &back); err != nil || !reflect.DeepEqual(in, back) {
			t.Fatalf("%v: %s\n%+v\n%+v", err, text, in, back)
		}
	})
}

// What somebody wrote by hand is told, or left alone.
func TestUnmarshal(t *testing.T) {
	for _, tt := range []struct {
		in, want string // the path
		err      string
	}{
		{`{"path":"/a\\xff"}`, `/a\xff`, ""},
		{`{"path":"/a","pathBytes":"L2H/"}`, "/a\xff", ""},
		{`{"path":"/a","pathBytes":"L2H"}`, "/a", "pathBytes"},
		{`{"path":"/a","pathBytes":7}`, "/a", "pathBytes"},
		{`{"path":"/a","pathBytes":null}`, "/a", ""},
		{`{"path":7,"pathBytes":"L2H/"}`, "", "cannot unmarshal number"},
	} {
		var got inner
		err := Unmarshal([]byte(tt.in), &got)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || err == nil && got.Path != tt.want {
			t.Errorf("%s: %q, %v", tt.in, got.Path, err)
		}
	}
}
