package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// initProgram is the container init, a program of its own beside this one: an
// init must stay small, and must not begin in a large program's runtime.
const initProgram = "sexton-init"

func (s *session) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [OPTION...] [--] COMMAND [ARGUMENT...]",
		Short: "run a command below a container init: sexton-init, which is beside this program",
		Long: `init executes the sexton-init that is beside this program, with the same arguments.

In an image, use that program itself: it is under 2 MB and needs nothing else.`,
		Example: `  sexton init --grace 25s -- nginx -g 'daemon off;'
  ENTRYPOINT ["/sexton-init", "--"]`,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			program := filepath.Join(filepath.Dir(self), initProgram)
			err = unix.Exec(program, append([]string{initProgram}, args...), os.Environ())
			return withHint(fmt.Errorf("execute %s: %w", program, err), "put "+initProgram+" into the same folder; make install does")
		},
	}
}
