package check

import "strings"

// A Page says what a check, a rule or an action is. It is a section of a package
// comment, and cut out of it when it is read: every start of the program, those of
// its child processes too, comes by all checks.
type Page struct{ source, kind, name string }

// DocOf is the page of a check: the section headed "# Check <name>" of a doc.go.
func DocOf(source, name string) Page { return PageOf(source, "Check", name) }

// PageOf is the section headed "# <kind> <name>" of a doc.go.
func PageOf(source, kind, name string) Page { return Page{source, kind, name} }

// String is the page as plain text, the first line "name: summary". It panics if the
// package comment has no such section: a check without a page is a mistake in the program.
func (p Page) String() string {
	text := strings.ReplaceAll(p.source, "\n// ", "\n")
	text = strings.ReplaceAll(text, "\n//", "\n")
	heading := "# " + p.kind + " " + p.name
	_, after, ok := strings.Cut(text, heading+"\n")
	if !ok {
		panic("check: doc.go has no heading '" + heading + "'")
	}
	after, _, _ = strings.Cut(after, "\n# ")
	doc, _, _ := strings.Cut(after, "\npackage ")
	return strings.TrimSpace(doc)
}

// Summary is the first line, without the name.
func (p Page) Summary() string {
	line, _, _ := strings.Cut(p.String(), "\n")
	_, text, _ := strings.Cut(line, ": ")
	return text
}
