package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

func (s *session) whyCommand() *cobra.Command {
	var host hostFlags
	var out outputFlags
	var parse bool
	cmd := &cobra.Command{
		Use:   "why TARGET | -",
		Short: "explain a process, container, mount, device or finding, or a pasted error",
		Long: `why tells the story of one thing in sentences, with the evidence under it.

TARGET is a pid, a container's id or name (or the beginning of one), a pod as
namespace/name or UID, a cgroup path, a mount's path, a device, or the id of a
finding of scan. With - it reads error lines and tables from standard input: of
docker, containerd, CRI, podman, kubelet, CSI drivers, umount, LVM, dmsetup, ZFS
and the kernel, in whatever wrapping. --parse prints what such a text says, one
JSON object an event, and looks at nothing.

It exits with 0 if nothing is wrong with it, 3 if something is, 4 if it cannot tell.`,
		Example: `  sexton why 4123
  sexton why web
  sexton why default/web-7d4b9
  sexton why unreaped-children/4123.88231
  journalctl -u docker -n 50 | sexton why -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1, "one TARGET")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if parse && len(args) == 0 {
				args = []string{"-"}
			}
			switch {
			case len(args) == 0:
				return exactly(1, "one TARGET")(cmd, args)
			case parse:
				return s.parseText(args[0])
			case args[0] == "-":
				return s.whyText(cmd.Context(), &host, out, args[0])
			}
			return s.whyTarget(cmd.Context(), &host, out, args[0])
		},
	}
	host.add(cmd)
	out.add(cmd)
	cmd.Flags().BoolVar(&parse, "parse", false, "print what a text says, - or a file, and look at nothing")
	return cmd
}

// whyTarget tells the story of one thing, with what was found of it.
func (s *session) whyTarget(ctx context.Context, host *hostFlags, out outputFlags, word string) error {
	v, err := s.see(ctx, host, snapshot.MountTables, snapshot.References)
	if err != nil {
		return err
	}
	t, err := v.resolve(word)
	if err != nil {
		return err
	}
	var found []check.Finding
	for _, f := range v.Findings {
		if v.concerns(t, f) {
			found = append(found, f)
		}
	}
	v.Findings = found
	r := v.report()
	r.Answer = v.story(t, found)
	if err := s.print(out, r, []any{r}, r.drawStory); err != nil {
		return err
	}
	s.code = v.code(check.Warning)
	return nil
}

// drawStory prints the answer with the evidence under it.
func (r *report) drawStory(p *page, wide bool) {
	for text := range strings.SplitSeq(r.Answer, "\n") {
		p.para("", text)
		p.line("")
	}
	for _, f := range r.Findings {
		p.line("%s  %s", styled{colorOf(f.Severity), string(f.Severity)}, styled{bold, f.ID})
		drawLadder(p, f.Ladder)
		for _, e := range f.Evidence {
			p.para("  ", e.Source+": "+e.Text)
		}
		for _, m := range f.Remedies {
			p.para("  could be healed by ", m.Action+" ("+m.Risk+"): "+m.Why)
		}
	}
	if len(r.Findings) > 0 {
		p.line("")
	}
	drawUnknown(p, r.Unknown, wide)
}
