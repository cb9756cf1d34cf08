package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sexton.dev/linux/mounts/excerpt"
	"sexton.dev/propagation"
	"sexton.dev/propagation/verdict"
)

// A propagationReport is what propagation prints.
type propagationReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	verdict.Answer
	Unknown []string `json:"unknown,omitempty"` // what the answer lacks
}

func (s *session) propagationCommand() *cobra.Command {
	out := outputFlags{more: []string{"dot"}}
	var host hostFlags
	var tables, in []string
	var lazy bool
	var kernel string
	cmd := &cobra.Command{
		Use:   "propagation TARGET",
		Short: "say what an unmount would do in every mount namespace, without making it",
		Long: `propagation is a dry run of umount: which copies of a mount go, which stay, and why.

The kernel decides by the parents of the mounts, not by their own tags: a copy
that says master:6 may stay, and a private one may go. So the answer comes from
all mounts of all namespaces. TARGET is a mount point, a device (8:16) or a mount id.

With --mountinfo it judges what somebody pasted: excerpts of mountinfo, with what
grep or a log put in front, or of /proc/mounts. What they do not decide is unknown.`,
		Example: `  sexton propagation /var/lib/docker/overlay2/4e09fa68/merged
  sexton propagation /mnt --in 4123 --detach       # as umount -l by process 4123
  sexton propagation /mnt -o dot | dot -Tsvg >mnt.svg
  sexton propagation /mnt --mountinfo runtime=a.txt --mountinfo unit=b.txt`,
		Args: exactly(1, "one TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := verdict.Question{Target: args[0], Lazy: lazy, From: in, Older: kernel == "before-6.17"}
			r, err := s.askPropagation(cmd, &host, q, tables)
			if err != nil {
				return err
			}
			if out.format == "dot" {
				return copyAll(s.Stdout, []byte(r.dot()))
			}
			items := make([]any, len(r.Verdicts))
			for i := range r.Verdicts {
				items[i] = r.Verdicts[i]
			}
			return s.print(out, r, items, r.draw)
		},
	}
	host.add(cmd)
	out.add(cmd)
	cmd.Flags().StringArrayVar(&tables, "mountinfo", nil, "judge this excerpt, as `NAME=FILE`; repeat for each namespace; FILE - is stdin")
	cmd.Flags().StringArrayVar(&in, "in", nil, "unmount in this namespace only: a pid, an inode, or a NAME of --mountinfo")
	cmd.Flags().BoolVar(&lazy, "detach", false, "as umount -l does: with all that is mounted below, and whoever uses it")
	cmd.Flags().StringVar(&kernel, "kernel", "", "by the rules of which kernel: before-6.17 or 6.17 (default: this one's, or the recording's)")
	cmd.RegisterFlagCompletionFunc("kernel", cobra.FixedCompletions([]string{"before-6.17", "6.17"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (s *session) askPropagation(cmd *cobra.Command, host *hostFlags, q verdict.Question, tables []string) (*propagationReport, error) {
	kernel, _ := cmd.Flags().GetString("kernel")
	if !slices.Contains([]string{"", "6.17", "before-6.17"}, kernel) {
		return nil, withHint(wrongUse{fmt.Errorf("--kernel %q", kernel)}, "--kernel before-6.17 or --kernel 6.17")
	}
	r := &propagationReport{APIVersion: apiVersion, Kind: "Propagation"}
	if len(tables) == 0 {
		return r, s.hostPropagation(cmd.Context(), host, q, kernel == "", r)
	}
	sides, table, err := s.excerpts(q.Target, tables)
	if err != nil {
		return nil, err
	}
	for _, name := range q.From {
		if !slices.ContainsFunc(sides, func(s verdict.Side) bool { return s.Name == name }) {
			return nil, withHint(wrongUse{fmt.Errorf("--in %q is no NAME of --mountinfo", name)}, "--in "+sides[0].Name)
		}
	}
	q.Sides = sides
	r.Answer = verdict.Judge(table, q)
	return r, nil
}

// excerpts reads the pasted tables.
func (s *session) excerpts(target string, named []string) ([]verdict.Side, *propagation.Table, error) {
	var sides []verdict.Side
	var all []excerpt.Table
	for _, arg := range named {
		name, file, ok := strings.Cut(arg, "=")
		if !ok || name == "" || file == "" {
			return nil, nil, withHint(wrongUse{fmt.Errorf("--mountinfo %q", arg)}, "--mountinfo host=mountinfo.txt")
		}
		if slices.ContainsFunc(sides, func(s verdict.Side) bool { return s.Name == name }) {
			return nil, nil, withHint(wrongUse{fmt.Errorf("two excerpts are named %q", name)}, "one NAME for each namespace")
		}
		text, err := s.readText(file)
		if err != nil {
			return nil, nil, err
		}
		t := excerpt.Parse(text)
		if len(t.Mounts) == 0 {
			return nil, nil, withHint(fmt.Errorf("%s has no line of a mount table", file), "cat /proc/PID/mountinfo")
		}
		sides = append(sides, verdict.Side{Name: name})
		all = append(all, t)
	}
	table := placeExcerpts(target, sides, all)
	return sides, table, nil
}
