package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sexton.dev/checks"
)

func (s *session) checksCommand() *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use:   "checks [NAME]",
		Short: "list the checks, or print the page of one",
		Example: `  sexton checks
  sexton checks unreaped-children`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return nil
			}
			return exactly(1, "at most one NAME")(cmd, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return checkNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list := checkList{APIVersion: apiVersion, Kind: "Checks"}
			for _, c := range checks.All() {
				if len(args) == 0 || args[0] == c.Name {
					list.Items = append(list.Items, checkPage{c.Name, c.Summary(), c.Doc})
				}
			}
			if len(list.Items) == 0 {
				return withHint(wrongUse{fmt.Errorf("no check is named %q", args[0])}, "sexton checks")
			}
			var items []any
			for _, c := range list.Items {
				items = append(items, c)
			}
			return s.print(out, list, items, func(p *page, _ bool) {
				if len(args) == 1 {
					fmt.Fprintln(p.w, list.Items[0].Page)
					return
				}
				var rows [][]string
				for _, c := range list.Items {
					rows = append(rows, []string{c.Name, c.Summary})
				}
				p.table([]string{"CHECK", "FINDS"}, rows)
			})
		},
	}
	out.add(cmd)
	return cmd
}

type checkList struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Items      []checkPage `json:"items"`
}

type checkPage struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	Page    string `json:"page"`
}
