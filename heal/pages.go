package heal

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
)

//go:embed doc.go
var doc string

// A Page says what one action is.
type Page struct {
	Name    string
	Summary string
	Text    string // with the capabilities that it needs
}

// Pages are those of all actions, by name.
func Pages() (out []Page) {
	for name, a := range acts {
		page := check.PageOf(doc, "Action", name)
		var needs []string
		for _, c := range a.needs {
			needs = append(needs, c.String())
		}
		slices.Sort(needs)
		out = append(out, Page{name, page.Summary(),
			fmt.Sprintf("%s\n\nIt needs %s and gives up all other capabilities before it begins. It is\ngiven up itself after %v.", page, strings.Join(needs, ", "), a.within)})
	}
	slices.SortFunc(out, func(a, b Page) int { return strings.Compare(a.Name, b.Name) })
	return out
}
