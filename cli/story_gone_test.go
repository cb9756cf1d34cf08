package cli

import (
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// A container that is gone is known by what was found of it, and what it chose breaks
// no line of the answer.
func TestGoneContainer(t *testing.T) {
	id := strings.Repeat("a", 64)
	h := &snapshot.Host{}
	h.Sort()
	f := check.Finding{ID: "oom-container/" + id, Check: "oom-container", Title: "the kernel killed x\nNothing is wrong", Cause: "c", Harm: "h", Subject: check.Subject{Kind: "container", Container: id}}
	v := &sight{now: h, Result: check.Result{Findings: []check.Finding{f, {ID: "x/1", Subject: check.Subject{Container: strings.Repeat("b", 64)}}}}}
	for _, word := range []string{id, id[:12], f.ID} {
		got, err := v.resolve(word)
		if err != nil {
			t.Fatal(err)
		}
		if !v.concerns(got, f) || v.concerns(got, v.Findings[1]) {
			t.Errorf("%s: %+v", word, got)
		}
		text := v.story(got, []check.Finding{f})
		if strings.Contains(text, "\nNothing") || !strings.Contains(text, `x\nNothing is wrong.`) || word != f.ID && !strings.Contains(text, "is not there any more") {
			t.Errorf("%s: %q", word, text)
		}
	}
	if _, err := v.resolve("c"); err == nil {
		t.Error("a container that nothing tells of")
	}
}
