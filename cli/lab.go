package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sexton.dev/check"
	"sexton.dev/collect"
	"sexton.dev/collect/door"
	"sexton.dev/lab"
	"sexton.dev/snapshot"
)

// A labList is what lab prints.
type labList struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Items      []lab.Status `json:"items"`
}

func (s *session) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "make faults for real, in throw-away namespaces, to try sexton on",
		Long: `lab makes faults for real: in PID and mount namespaces of their own, bounded in
size, and ended by themselves after --for. It needs root.

up returns when the kernel shows the fault; down takes it away and proves it.`,
		Example: `  sexton lab list
  sexton lab up zombies
  sexton scan
  sexton lab down`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return withHint(wrongUse{fmt.Errorf("unknown command %q", args[0])}, "sexton lab --help")
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(s.labListCommand(), s.labUpCommand(), s.labDownCommand(), s.labStatusCommand())
	return cmd
}

func (s *session) labListCommand() *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use: "list", Short: "list the faults and what sexton must find", Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.printLab(out, lab.List(lab.Options{}), func(p *page, _ bool) {
				for _, f := range lab.Faults() {
					p.line("%s  %s", styled{bold, f.Name}, f.Summary)
					for _, want := range f.Want {
						p.para("  must find  ", want)
					}
					p.para("  heal       ", healed(f))
					for _, remains := range f.Remains {
						p.para("  remains    ", remains)
					}
					p.para("  harm       ", f.Harm)
					p.line("")
				}
			})
		},
	}
	out.add(cmd)
	return cmd
}

// healed says how heal ends a fault.
func healed(f lab.Fault) string {
	switch {
	case f.Risk == "safe":
		return "sexton heal --apply"
	case f.Risk != "":
		return "sexton heal --apply --max-risk " + f.Risk
	case len(f.Remains) > 0:
		return "by hand"
	}
	return "nothing is to be healed"
}

func (s *session) labStatusCommand() *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use: "status", Short: "say which faults are up", Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			items := lab.List(lab.Options{})
			return s.printLab(out, items, drawLab(items))
		},
	}
	out.add(cmd)
	return cmd
}

func (s *session) labUpCommand() *cobra.Command {
	var out outputFlags
	var o lab.Options
	var here bool
	cmd := &cobra.Command{
		Use: "up NAME...", Short: "make faults; returns when the kernel shows them", ValidArgsFunction: labNames,
		Example: `  sexton lab up zombies stuck-reader --for 5m`,
		Args:    atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !here {
				if err := s.labAllowed(cmd.Context()); err != nil {
					return err
				}
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			var up []lab.Status
			for _, name := range args {
				s.warn(name)
				st, err := lab.Up(ctx, name, o)
				if err != nil {
					return errors.Join(s.printLab(out, up, drawLab(up)), err)
				}
				up = append(up, st)
			}
			return s.printLab(out, up, drawLab(up))
		},
	}
	out.add(cmd)
	cmd.Flags().DurationVar(&o.For, "for", lab.DefaultFor, "the fault ends by itself after this time")
	cmd.Flags().BoolVar(&here, "on-this-host", false, "also where kubelet or containers run")
	return cmd
}

// warn says what the rest of the host will feel of a fault.
func (s *session) warn(name string) {
	for _, f := range lab.Faults() {
		if f.Name == name && f.Harm != "" {
			fmt.Fprintf(s.Stderr, "%s: %s\n", f.Name, f.Harm)
		}
	}
}

func (s *session) labDownCommand() *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use: "down [NAME...]", Short: "take faults away, all if none is named, and prove it", ValidArgsFunction: labNames,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			down, err := lab.Down(ctx, args, lab.Options{})
			return errors.Join(s.printLab(out, down, drawLab(down)), err)
		},
	}
	out.add(cmd)
	return cmd
}

func atLeastOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return withHint(wrongUse{errors.New("wants at least one NAME")}, "sexton lab list")
	}
	return nil
}

func labNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, f := range lab.Faults() {
		names = append(names, f.Name+"\t"+f.Summary)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (s *session) printLab(out outputFlags, items []lab.Status, draw func(*page, bool)) error {
	return s.print(out, labList{apiVersion, "Lab", items}, itemsOf(items), draw)
}

func drawLab(items []lab.Status) func(*page, bool) {
	return func(p *page, _ bool) {
		if len(items) == 0 {
			p.line("no fault is up")
			return
		}
		var rows [][]string
		for _, st := range items {
			until, pid := "", ""
			if !st.Until.IsZero() {
				until = st.Until.Local().Format(time.TimeOnly)
			}
			if st.PID != 0 {
				pid = fmt.Sprint(st.PID)
			}
			what := st.Found
			if st.Why != "" {
				what = st.Why
			}
			rows = append(rows, []string{st.Name, string(st.State), pid, until, what})
		}
		p.table([]string{"FAULT", "STATE", "PID", "UNTIL", "WHAT"}, rows)
	}
}

// labAllowed refuses hosts that do real work: a fault there is felt by all of it.
func (s *session) labAllowed(ctx context.Context) error {
	host, err := door.Open("/", "")
	if err != nil {
		return err
	}
	defer host.Close()
	_, now := collect.Looks(ctx, host.Look(), nil, collect.Options{Parts: []snapshot.Part{snapshot.Processes, snapshot.Places}})
	what := ""
	for i := range now.Processes {
		p := &now.Processes[i]
		if p.Comm == "kubelet" || p.Container != "" {
			what = check.Label(now, p)
		}
	}
	if what == "" {
		return nil
	}
	return withHint(fmt.Errorf("this host runs containers of its own: %s", what), "on a machine without any, or with --on-this-host")
}
