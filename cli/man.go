package cli

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// pages are the man pages, made from the commands by go test ./cli -update,
// which fails when they are out of date. Made at run time they would cost every
// command the start of a Markdown parser.
//
//go:embed man/*.1
var pages embed.FS

func (s *session) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "write the man pages into a directory",
		Example: `  sexton man /usr/local/share/man/man1`,
		Args:    exactly(1, "one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(filepath.Clean(args[0]), 0o755); err != nil {
				return err
			}
			names, err := fs.Glob(pages, "man/*.1")
			if err != nil {
				return err
			}
			for _, name := range names {
				text, err := pages.ReadFile(name)
				if err == nil {
					err = os.WriteFile(filepath.Join(args[0], filepath.Base(name)), text, 0o644)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}
