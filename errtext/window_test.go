package errtext

import (
	"strings"
	"testing"
)

// Lines that a window broke, at whatever width, are put together again.
func TestWindow(t *testing.T) {
	x := strings.Repeat("x", 60)
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"cut at one odd width", "Error: " + x + " a1\nb2 " + x + " 456789\n c", []string{"Error: " + x + " a1b2 " + x + " 456789 c"}},
		{"wrapped between words", "Error: " + x + " driver\nsays that it " + x + "\nwaits", []string{"Error: " + x + " driver says that it " + x + " waits"}},
		{"wrapped before an id", "Error: " + x + " container\n" + strings.Repeat("a1", 32) + ": y", []string{"Error: " + x + " container " + strings.Repeat("a1", 32) + ": y"}},
		{"wrapped before a path, which has no room", "cannot remove\n'/" + x + x + "': busy", []string{"cannot remove '/" + x + x + "': busy"}},
		{"wrapped before a word that begins no message", "Error: " + x + " failed\nwith y", []string{"Error: " + x + " failed with y"}},
		{"wrapped behind a colon", "Error: " + x + " /a/b:\ntarget is busy", []string{"Error: " + x + " /a/b: target is busy"}},
		{"cut before a space", "Error: " + x + " code\n = y", []string{"Error: " + x + " code = y"}},
		{"cut before a space and a word", "Error: " + x + " code\n is y", []string{"Error: " + x + " code is y"}},
		{"cut behind a slash", "Error: " + x + " image rbd/\nx-1 is used", []string{"Error: " + x + " image rbd/x-1 is used"}},
		{"cut before the name of an id", "Error: " + x + " /srv/overlay\n/" + strings.Repeat("a1", 32) + "/merged: y", []string{"Error: " + x + " /srv/overlay/" + strings.Repeat("a1", 32) + "/merged: y"}},
		{"there is room for the word", "Error: " + x + " a\nb\nc " + x + " d e f", []string{"Error: " + x + " a", "b", "c " + x + " d e f"}},
		{"a sentence that ended", "Error: " + x + " is busy\nY does " + x + " not", []string{"Error: " + x + " is busy", "Y does " + x + " not"}},
		{"logfmt in two lines", "t=2 lvl=eror msg=\"" + x + "\" a=b\nt=3 lvl=eror msg=\"" + x + "\" a=b", []string{x + " a=b", x + " a=b"}},
		{"hostile: a line wider than a window", strings.Repeat("a ", 300) + "\nb", []string{strings.TrimSpace(strings.Repeat("a ", 300)), "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantRecords(t, tt.in, tt.want)
		})
	}
}

// Few of the rows of the corpora lose anything to a window's edge.
func TestBrokenAtWidths(t *testing.T) {
	for name, broken := range map[string]func(string, int) string{"cut": cutAt, "wrapped": wrapAt} {
		whole, wrong := 0, 0
		for _, r := range append(rows(t, "errors.jsonl"), rows(t, "own.jsonl")...) {
			plain := Read([]byte(r.Text))
			for width := 60; width < 240; width += 11 {
				if len(plain) != 1 || len(r.Text) <= width || strings.Contains(r.Text, "\n") {
					continue
				}
				whole++
				if got := Read([]byte(broken(r.Text, width))); len(got) != 1 || !sameFields(got[0], plain[0]) {
					wrong++
				}
			}
		}
		if t.Logf("%s: %d of %d", name, wrong, whole); wrong*20 > whole {
			t.Errorf("%s: %d of %d are read in another way", name, wrong, whole)
		}
	}
}

// cutAt breaks a line behind each width'th byte.
func cutAt(s string, width int) string {
	out := ""
	for len(s) > width {
		out, s = out+s[:width]+"\n", s[width:]
	}
	return out + s
}

// wrapAt breaks a line where the next word has no room.
func wrapAt(s string, width int) string {
	out, column := "", 0
	for i, word := range strings.Split(s, " ") {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			out, column = out+"\n", 0
		default:
			out, column = out+" ", column+1
		}
		out, column = out+word, column+len(word)
	}
	return out
}
