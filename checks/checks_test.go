package checks

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sexton.dev/check"
)

var update = flag.Bool("update", false, "rewrite docs/checks.md")

// Every folder is a check of that name, and every check has a folder.
func TestEveryFolderIsListed(t *testing.T) {
	var listed, folders []string
	for _, c := range All() {
		listed = append(listed, strings.ReplaceAll(c.Name, "-", ""))
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	slices.Sort(listed)
	slices.Sort(folders)
	if !slices.Equal(listed, folders) {
		t.Errorf("All() has %q, the folders are %q", listed, folders)
	}
}

// The name is also a flag, a metric label and an anchor; the page names its
// kinds of finding, their severity and its sources.
func TestPages(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(c.Name) || seen[c.Name] {
			t.Errorf("%q is no name for a check, or comes twice", c.Name)
		}
		seen[c.Name] = true
		if first, _, _ := strings.Cut(c.Doc.String(), "\n"); first != c.Name+": "+c.Doc.Summary() || c.Doc.Summary() == "" || len(first) > 110 {
			t.Errorf("%s: the page begins with %q", c.Name, first)
		}
		for _, part := range []string{`A finding is\s`, `([Ee]lse|Always) (warning|info)`, `\nSources: `} {
			if !regexp.MustCompile(part).MatchString(c.Doc.String()) {
				t.Errorf("%s: the page does not say %q", c.Name, part)
			}
		}
		if c.Run == nil || len(c.Needs) == 0 {
			t.Errorf("%s: it has no Run or needs nothing", c.Name)
		}
	}
}

// A pass without a first look, and an empty host, are no crash and no finding.
func TestNothingToSee(t *testing.T) {
	for _, c := range All() {
		for name, p := range emptyPasses() {
			if found := c.Run(p); len(found) > 0 {
				t.Errorf("%s, %s: %+v", c.Name, name, found)
			}
		}
	}
}

func emptyPasses() map[string]check.Pass {
	return map[string]check.Pass{
		"one look":  {Now: newHost(), Limits: check.Defaults},
		"two looks": {Now: newHost(), Before: newHost(), Limits: check.Defaults},
	}
}

// docs/checks.md is what the checks say of themselves.
func TestDocPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What sexton looks for\n\nThe pages of the checks, as `sexton checks NAME` prints them. Written by `go test ./checks -update`.\n")
	for _, c := range All() {
		_, text, _ := strings.Cut(c.Doc.String(), "\n\n")
		b.WriteString("\n## " + c.Name + "\n\n**" + c.Doc.Summary() + "**\n\n" + text + "\n")
	}
	const page = "../docs/checks.md"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || string(have) != b.String() {
		t.Errorf("docs/checks.md is out of date (%v): run go test ./checks -update", err)
	}
}
