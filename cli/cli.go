// Package cli is sexton's command line: one file a command, exit codes, errors
// with a hint, and output that no container can forge.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sexton.dev/collect"
	"sexton.dev/heal"
	"sexton.dev/lab"
	"sexton.dev/runtimes/stackdump"
)

// Exit codes. They are a contract: scripts test them.
const (
	Clean    = 0 // nothing found, or done
	Failed   = 1 // an error
	Usage    = 2 // the command line was wrong
	Findings = 3 // findings at or above --fail-on
	CantTell = 4 // a whole check could not be judged
	Unhealed = 5 // a step of heal was refused, or did not help
)

// Version is set by the linker.
var Version = "dev"

// Env is the world of a command.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// A hint is an error with a next step for the user. Other packages' errors
// have one too: whatever has a method Hint.
type hint struct {
	error
	try string
}

func (h hint) Unwrap() error { return h.error }
func (h hint) Hint() string  { return h.try }

func withHint(err error, try string) error { return hint{err, try} }

// A wrongUse is an error in the command line itself.
type wrongUse struct{ error }

func (w wrongUse) Unwrap() error { return w.error }

// A session is one run of a command; what its commands share.
type session struct {
	Env
	code int // exit code when there is no error
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, env Env, args []string) int {
	if collect.IsChild(args) {
		return collect.ChildMain(args, env.Stdout, env.Stderr)
	}
	if heal.IsChild(args) {
		return heal.ChildMain(env.Stdin, env.Stdout, env.Stderr)
	}
	if stackdump.IsChild(args) {
		return stackdump.ChildMain(args, env.Stdout)
	}
	if len(args) > 0 && args[0] == lab.ActorCommand {
		return lab.Actor(args[1:])
	}
	s := &session{Env: env}
	root := s.root()
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return s.code
	}
	fmt.Fprintf(env.Stderr, "%s: %s\n", ran.CommandPath(), printable(err.Error()))
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		fmt.Fprintf(env.Stderr, "  try: %s\n", printable(h.Hint()))
	}
	if _, ok := errors.AsType[wrongUse](err); ok {
		return Usage
	}
	return max(s.code, Failed)
}

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sexton",
		Short: "find, explain and heal what keeps a container host stuck",
		Long: `sexton finds what keeps a container host stuck, names the culprit and says why.

It reads /proc, cgroups and the runtimes' sockets of the host that it runs on.
Looking changes nothing, and a sick host cannot make it hang.`,
		Example: `  sexton scan                    # what is wrong on this host
  sexton why web                 # a pid, container, pod, cgroup, mount, device or finding: the story
  sexton record host.tar.zst     # take the evidence along; read it anywhere with --from`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetOut(s.Stdout)
	root.SetErr(s.Stderr)
	root.SetIn(s.Stdin)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(wrongUse{err}, cmd.CommandPath()+" --help")
	})
	root.AddCommand(s.scanCommand(), s.whyCommand(), s.healCommand(), s.journalCommand(), s.psCommand(), s.kmsgCommand(), s.recordCommand(), s.checksCommand(), s.actionsCommand(),
		s.holdersCommand(), s.propagationCommand(), s.stacksCommand(), s.lintCommand(), s.labCommand(), s.initCommand(), s.versionCommand(), s.manCommand())
	return root
}

func unknownCommand(cmd *cobra.Command, name string) error {
	err := wrongUse{fmt.Errorf("unknown command %q", name)}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return withHint(err, "sexton "+strings.Join(near, ", or sexton "))
	}
	return withHint(err, "sexton --help; to ask about a process or container: sexton why "+name)
}

// exactly is cobra.ExactArgs with our exit code and a hint.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return withHint(wrongUse{fmt.Errorf("wants %s, got %d arguments", what, len(args))}, cmd.CommandPath()+" --help")
	}
}
