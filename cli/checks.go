package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sexton.dev/checks"
	"sexton.dev/heal"
)

func (s *session) checksCommand() *cobra.Command {
	return s.pagesCommand("checks", "check", "FINDS", "unreaped-children", func() (pages []docPage) {
		for _, c := range checks.All() {
			pages = append(pages, docPage{c.Name, c.Doc.Summary(), c.Doc.String()})
		}
		return pages
	})
}

func (s *session) actionsCommand() *cobra.Command {
	return s.pagesCommand("actions", "action", "DOES", "unmount-in-namespace", func() (pages []docPage) {
		for _, a := range heal.Pages() {
			pages = append(pages, docPage{a.Name, a.Summary, a.Text})
		}
		return pages
	})
}

// pagesCommand lists pages of documentation, or prints one. Every command's start
// comes by here: they are made when they are asked for.
func (s *session) pagesCommand(many, one, column, example string, pages func() []docPage) *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use:     many + " [NAME]",
		Short:   "list the " + many + ", or print the page of one",
		Example: "  sexton " + many + "\n  sexton " + many + " " + example,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return nil
			}
			return exactly(1, "at most one NAME")(cmd, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
			for _, p := range pages() {
				names = append(names, p.Name+"\t"+p.Summary)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list := docPages{APIVersion: apiVersion, Kind: strings.ToUpper(many[:1]) + many[1:]}
			for _, p := range pages() {
				if len(args) == 0 || args[0] == p.Name {
					list.Items = append(list.Items, p)
				}
			}
			if len(list.Items) == 0 {
				return withHint(wrongUse{fmt.Errorf("no %s is named %q", one, args[0])}, "sexton "+many)
			}
			return s.print(out, list, itemsOf(list.Items), func(p *page, _ bool) {
				if len(args) == 1 {
					fmt.Fprintln(p.w, list.Items[0].Page)
					return
				}
				var rows [][]string
				for _, d := range list.Items {
					rows = append(rows, []string{d.Name, d.Summary})
				}
				p.table([]string{strings.ToUpper(one), column}, rows)
			})
		},
	}
	out.add(cmd)
	return cmd
}

type docPages struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Items      []docPage `json:"items"`
}

type docPage struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	Page    string `json:"page"`
}
