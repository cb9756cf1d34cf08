package cli

import (
	"bytes"
	"strings"
	"testing"
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
