package cli

import (
	"context"
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
	Rule    *propagationRule `json:"rule"`
	Unknown []string         `json:"unknown,omitempty"` // what the answer lacks
}

// propagationFlags are what propagation is asked.
type propagationFlags struct {
	host   hostFlags
	tables []string // --mountinfo
	in     []string
	lazy   bool // --detach
	kernel string
	probe  probeFlags
}

func (f *propagationFlags) add(cmd *cobra.Command) {
	f.host.add(cmd)
	f.probe.add(cmd)
	cmd.Flags().StringArrayVar(&f.tables, "mountinfo", nil, "judge this excerpt, as `NAME=FILE`; repeat for each namespace; FILE - is stdin")
	cmd.Flags().StringArrayVar(&f.in, "in", nil, "unmount in this namespace only: a pid, an inode, or a NAME of --mountinfo")
	cmd.Flags().BoolVar(&f.lazy, "detach", false, "as umount -l does: with all that is mounted below, and whoever uses it")
	cmd.Flags().StringVar(&f.kernel, "kernel", "", "by the rules of which kernel: before-6.17 or 6.17 (default: this one's, or the recording's)")
	cmd.RegisterFlagCompletionFunc("kernel", cobra.FixedCompletions([]string{"before-6.17", "6.17"}, cobra.ShellCompDirectiveNoFileComp))
}

const propagationHelp = `propagation is a dry run of umount: which copies of a mount go, which stay, and why.

The kernel decides by the parents of the mounts, not by their own tags: a copy
that says master:6 may stay, and a private one may go. So the answer comes from
all mounts of all namespaces. TARGET is a mount point, a device (8:16) or a mount id.

With --mountinfo it judges what somebody pasted: excerpts of mountinfo, with what
grep or a log put in front, or of /proc/mounts. What they do not decide is unknown;
without the lines of what the target is mounted on its own tags make it likely. What is
mounted on the target must be in them: grep for its path has that.

A plain unmount fails while something is open on the mount, or on a copy in another
namespace that it would reach: who that is, is told. --detach does not ask.

Two things no table shows. A mount that was copied with its parent into another
user namespace is locked: nobody can unmount it there on its own. And kernels
unmount by one of two rules. Both are told as far as they are likely, from who owns
the namespaces and from the kernel's release. Two flags ask the kernel instead. They
need root and are more than looking, so they are off by default:

--probe-locks starts a process that enters the mount namespaces of other user
namespaces and asks, for TARGET and what is mounted on it, to expire the mount
while it has it open (umount2 with MNT_EXPIRE). In use, it cannot expire: the call
fails, with EINVAL if the mount is locked and with EBUSY if not. Nothing is unmounted.

--self-test makes two mount namespaces that nobody else sees, mounts four small tmpfs
there, unmounts one and looks what went with it. Both end with the test.`

func (s *session) propagationCommand() *cobra.Command {
	out := outputFlags{more: []string{"dot"}}
	var f propagationFlags
	cmd := &cobra.Command{
		Use:   "propagation TARGET",
		Short: "say what an unmount would do in every mount namespace, without making it",
		Long:  propagationHelp,
		Example: `  sexton propagation /var/lib/docker/overlay2/4e09fa68/merged
  sexton propagation /mnt --in 4123 --detach       # as umount -l by process 4123
  sexton propagation /mnt --probe-locks --self-test
  sexton propagation /mnt -o dot | dot -Tsvg >mnt.svg
  sexton propagation /mnt --mountinfo runtime=a.txt --mountinfo unit=b.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.probe.rule && len(args) == 0 {
				return nil
			}
			return exactly(1, "one TARGET")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q := verdict.Question{Lazy: f.lazy, From: f.in, Older: f.kernel == "before-6.17"}
			if len(args) > 0 {
				q.Target = args[0]
			}
			r, err := s.askPropagation(cmd.Context(), &f, q)
			if err != nil {
				return err
			}
			if out.format == "dot" {
				return copyAll(s.Stdout, []byte(r.dot()))
			}
			return s.print(out, r, itemsOf(r.Verdicts), r.draw)
		},
	}
	f.add(cmd)
	out.add(cmd)
	return cmd
}

func (s *session) askPropagation(ctx context.Context, f *propagationFlags, q verdict.Question) (r *propagationReport, err error) {
	if !slices.Contains([]string{"", "6.17", "before-6.17"}, f.kernel) {
		return nil, withHint(wrongUse{fmt.Errorf("--kernel %q", f.kernel)}, "--kernel before-6.17 or --kernel 6.17")
	}
	if err := f.probe.check(f.host.from, f.tables, f.kernel); err != nil {
		return nil, err
	}
	r = &propagationReport{APIVersion: apiVersion, Kind: "Propagation"}
	switch {
	case f.kernel != "":
		r.Rule = ruleOf(q.Older, "flag")
	case f.probe.rule:
		if r.Rule, err = s.selfTest(ctx, &f.host); err != nil {
			return nil, err
		}
		q.Older = r.Rule.older()
	}
	if q.Target == "" && f.probe.rule {
		r.Answer = verdict.Judge(nil, q)
		return r, nil
	}
	if len(f.tables) == 0 {
		return r, s.hostPropagation(ctx, f, q, r)
	}
	if r.Rule == nil {
		r.Rule = ruleOf(q.Older, "default")
	}
	table, mixed, err := s.excerpts(&q, f.tables)
	if err != nil {
		return nil, err
	}
	r.Unknown = append(r.Unknown, mixed...)
	for _, name := range q.From {
		if !slices.ContainsFunc(q.Sides, func(s verdict.Side) bool { return s.Name == name }) {
			return nil, withHint(wrongUse{fmt.Errorf("--in %q is no NAME of --mountinfo", name)}, "--in "+q.Sides[0].Name)
		}
	}
	r.Answer = verdict.Judge(table, q)
	return r, nil
}

// excerpts reads the pasted tables into the question, and says which are of more than one namespace.
func (s *session) excerpts(q *verdict.Question, named []string) (table *propagation.Table, mixed []string, err error) {
	var all []excerpt.Table
	for _, arg := range named {
		name, file, ok := strings.Cut(arg, "=")
		if !ok || name == "" || file == "" {
			return nil, nil, withHint(wrongUse{fmt.Errorf("--mountinfo %q", arg)}, "--mountinfo host=mountinfo.txt")
		}
		if slices.ContainsFunc(q.Sides, func(s verdict.Side) bool { return s.Name == name }) {
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
		if n := len(t.PIDs); n > 1 {
			mixed = append(mixed, fmt.Sprintf("%s has lines of processes %d and %d, which are in different mount namespaces: give each a NAME and a FILE of its own", name, t.PIDs[0], t.PIDs[1]))
		}
		q.Sides = append(q.Sides, verdict.Side{Name: name})
		all = append(all, t)
	}
	return placeExcerpts(q, all), mixed, nil
}
