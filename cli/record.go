package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

func (s *session) recordCommand() *cobra.Command {
	var host hostFlags
	var out outputFlags
	cmd := &cobra.Command{
		Use:   "record FILE.tar.zst",
		Short: "save what sexton reads of this host, to judge it elsewhere",
		Long: `record saves the raw text that sexton reads of this host, errors included. Any
command judges it with --from FILE, on any machine and by a newer sexton too.

The file is new and readable by its owner alone. It holds no environment, no
command lines but those of dockerd, containerd, shims, runc and conmon, and no
passwords of mount options.`,
		Example: `  sexton record web1.tar.zst
  sexton scan --from web1.tar.zst`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			host.record = args[0]
			v, err := s.see(cmd.Context(), &host, snapshot.Commands)
			if err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return fmt.Errorf("record: %w", err)
			}
			r := recording{APIVersion: apiVersion, Kind: "Recording", File: args[0], Bytes: info.Size(), Report: v.report()}
			return s.print(out, r, []any{r}, func(p *page, wide bool) {
				p.line("%s: %s bytes, %s, %s", r.File, check.Number(int(r.Bytes)),
					check.Count(r.Report.Looked.Processes, "process"), check.Count(len(r.Report.Findings), "finding"))
				p.line("  next    sexton scan --from %s", r.File)
				p.line("")
				drawUnknown(p, r.Report.Unknown, wide)
			})
		},
	}
	host.add(cmd)
	out.add(cmd)
	cmd.Flags().BoolVar(&host.argv, "with-cmdlines", false, "save the command lines of all processes; they may hold secrets")
	cmd.Flags().MarkHidden("from")
	return cmd
}

// A recording is what record prints.
type recording struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	File       string  `json:"file"`
	Bytes      int64   `json:"bytes"`
	Report     *report `json:"report"`
}
