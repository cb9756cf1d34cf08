package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "web server, × 3", "web server, × 3"},
		{"escape sequence", "\x1b[31mred", `\x1b[31mred`},
		{"lines", "a\nb\rc\td", `a\nb\x0dc\x09d`},
		{"bidi and zero width", "a\u202eb\u200bc\u2066", `a\u202eb\u200bc\u2066`},
		{"C1 control", "a\u009b31m", `a\u009b31m`},
		{"not UTF-8", "a\xff\xc3(", `a\xff\xc3(`},
		{"the replacement character itself", "a\ufffdb", "a\ufffdb"},
		{"other spaces", "a\u00a0b\u3000", `a\u00a0b\u3000`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := printable(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Whatever a container calls itself, a line on the page stays one line of plain characters.
func FuzzPage(f *testing.F) {
	f.Add("a\x1b[2Jb\nc\u202e\xff", 40)
	f.Fuzz(func(t *testing.T, s string, width int) {
		var b bytes.Buffer
		p := &page{w: &b, width: width}
		p.line("%s %v", s, styled{red, s})
		if n := strings.Count(b.String(), "\n"); n != 1 {
			t.Fatalf("%d lines of %q", n, s)
		}
		p.para("  cause  ", s)
		p.table([]string{"A", "B"}, [][]string{{s, s}})
		for _, r := range b.String() {
			if r != '\n' && !unicode.IsPrint(r) || r == utf8.RuneError && !strings.ContainsRune(s, r) {
				t.Fatalf("%q reached the page of %q", r, s)
			}
		}
	})
}

type inner struct {
	Path string    `json:"path"`
	Skip string    `json:"skip,omitempty"`
	When time.Time `json:"when,omitzero"`
}

type outer struct {
	Name  string   `json:"name"`
	List  []inner  `json:"list"`
	Ptr   *inner   `json:"ptr,omitempty"`
	N     uint64   `json:"n"`
	Texts []string `json:"texts,omitempty"`
	Own   bool     `json:"-"`
}

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{"empty lists are lists", outer{}, `{"name":"","list":[],"n":0}`},
		{"not UTF-8", inner{Path: "/a\xff"}, `{"path":"/a\\xff","pathBytes":"L2H/"}`},
		{"hostile but UTF-8", inner{Path: "\x1b<&>\u202e"}, `{"path":"\u001b<&>` + "\u202e" + `"}`},
		{"nested", outer{Name: "x", List: []inner{{Path: "a", Skip: "b"}}, Ptr: &inner{}, N: 1 << 63, Texts: []string{"t"}},
			`{"name":"x","list":[{"path":"a","skip":"b"}],"ptr":{"path":""},"n":9223372036854775808,"texts":["t"]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encode(tt.in)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// Any bytes come back exactly, from the member or from its Bytes.
func FuzzEncode(f *testing.F) {
	f.Add("a\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		text, err := encode(inner{Path: s})
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			Path      string `json:"path"`
			PathBytes string `json:"pathBytes"`
		}
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got := back.Path
		if back.PathBytes != "" {
			exact, err := base64.StdEncoding.DecodeString(back.PathBytes)
			if err != nil {
				t.Fatal(err)
			}
			got = string(exact)
		}
		if got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}
