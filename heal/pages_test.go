package heal

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/actions.md")

// docs/actions.md is what the actions say of themselves.
func TestDocPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What sexton heals by\n\nThe pages of the actions, as `sexton actions NAME` prints them. Written by `go test ./heal -update`.\n")
	for _, p := range Pages() {
		_, text, _ := strings.Cut(p.Text, "\n\n")
		b.WriteString("\n## " + p.Name + "\n\n**" + p.Summary + "**\n\n" + text + "\n")
	}
	const page = "../docs/actions.md"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || string(have) != b.String() {
		t.Errorf("docs/actions.md is out of date (%v): run go test ./heal -update", err)
	}
}
