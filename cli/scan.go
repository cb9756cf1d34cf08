package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sexton.dev/check"
)

func (s *session) scanCommand() *cobra.Command {
	var host hostFlags
	var out outputFlags
	var failOn string
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "look at the whole host and print what is wrong",
		Long: `scan looks at every process and container twice and prints what is wrong in both
looks: who is at fault, how it came about, what it costs and what to do next.

It exits with 0 if nothing is wrong, 3 if there are findings, and 4 if it cannot
tell, as without root or from a container that has not the host's PID namespace.
It sends no signal and changes nothing.`,
		Example: `  sexton scan
  sexton scan --check unreaped-children,pid-budget -o json
  sexton scan --record evidence.tar.zst     # save what it read; judge it again with --from`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			least, err := leastOf(failOn)
			if err != nil {
				return err
			}
			v, err := s.see(cmd.Context(), &host)
			if err != nil {
				return err
			}
			r := v.report()
			if err := s.print(out, r, itemsOf(r.Findings), r.draw); err != nil {
				return err
			}
			s.code = v.code(least)
			s.summary(v, r)
			return nil
		},
	}
	host.add(cmd)
	host.addChecks(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&host.record, "record", "", "also save what is read to this new `file`")
	addFailOn(cmd, &failOn)
	return cmd
}

// addFailOn defines --fail-on, which [leastOf] reads.
func addFailOn(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "fail-on", "warning", "exit with 3 from this severity on: info, warning or critical")
	cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"info", "warning", "critical"}, cobra.ShellCompDirectiveNoFileComp))
}

func leastOf(failOn string) (check.Severity, error) {
	least := check.Severity(failOn)
	if least.Rank() == 0 {
		return "", withHint(wrongUse{fmt.Errorf("--fail-on %q", failOn)}, "--fail-on info, warning or critical")
	}
	return least, nil
}

// summary is the line at the end of a scan. It is no data and goes to stderr.
func (s *session) summary(v *sight, r *report) {
	fmt.Fprintf(s.Stderr, "%s, %s: %s, %d unknown, in %.1f s\n",
		check.Count(r.Looked.Containers, "container"), check.Count(r.Looked.Processes, "process"),
		check.Count(len(r.Findings), "finding"), len(r.Unknown), v.took.Seconds())
}
