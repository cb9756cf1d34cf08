package cli

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sexton.dev/exactjson"
)

// apiVersion is that of every object sexton prints. Within it fields are added, never renamed.
const apiVersion = "sexton/v1"

// outputFlags choose the form of what a command prints.
type outputFlags struct {
	format, color string
	more          []string // formats that one command has besides
}

var formats = []string{"table", "wide", "json", "yaml", "jsonl"}

func (f *outputFlags) add(cmd *cobra.Command) {
	all := append(slices.Clone(formats), f.more...)
	names := strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
	cmd.Flags().StringVarP(&f.format, "output", "o", "table", names)
	cmd.Flags().StringVar(&f.color, "color", "auto", "auto, always or never")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(all, f.format) {
			return withHint(wrongUse{fmt.Errorf("no output format is named %q", f.format)}, "-o "+names)
		}
		switch f.color {
		case "auto", "always", "never":
		default:
			return withHint(wrongUse{fmt.Errorf("--color %q", f.color)}, "--color auto, always or never")
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}

// itemsOf is a list as [session.print] takes it.
func itemsOf[T any](all []T) (items []any) {
	for i := range all {
		items = append(items, all[i])
	}
	return items
}

// print writes v in the chosen form. items are what jsonl prints, one a line;
// forPeople draws a table and is told whether it may be wide.
func (s *session) print(f outputFlags, v any, items []any, forPeople func(p *page, wide bool)) error {
	switch f.format {
	case "json", "yaml":
		text, err := exactjson.Marshal(v)
		if err != nil {
			return err
		}
		if f.format == "yaml" {
			if text, err = toYAML(text); err != nil {
				return err
			}
			return copyAll(s.Stdout, text)
		}
		return copyAll(s.Stdout, append(text, '\n'))
	case "jsonl":
		var b bytes.Buffer
		for _, item := range items {
			text, err := exactjson.Marshal(item)
			if err != nil {
				return err
			}
			b.Write(append(text, '\n'))
		}
		return copyAll(s.Stdout, b.Bytes())
	}
	var b bytes.Buffer
	p := &page{w: &b, width: s.width(), color: s.colored(f.color)}
	forPeople(p, f.format == "wide")
	return copyAll(s.Stdout, b.Bytes())
}

// width is that of COLUMNS or of the terminal. What is no terminal gets whole
// lines, so that grep finds a sentence.
func (s *session) width() int {
	if n, err := strconv.Atoi(s.Getenv("COLUMNS")); err == nil && n >= 40 {
		return min(n, 400)
	}
	if f, ok := s.Stdout.(*os.File); ok {
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col >= 40 {
			return int(ws.Col)
		}
	}
	return math.MaxInt
}

// colored follows --color, then NO_COLOR and TERM, then whether stdout is a terminal.
func (s *session) colored(choice string) bool {
	if choice != "auto" {
		return choice == "always"
	}
	if s.Getenv("NO_COLOR") != "" || s.Getenv("TERM") == "dumb" {
		return false
	}
	f, ok := s.Stdout.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
