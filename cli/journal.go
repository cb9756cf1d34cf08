package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sexton.dev/heal"
)

// healJournal is what journal prints.
type healJournal struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Items      []heal.Entry `json:"items"`
}

func (s *session) journalCommand() *cobra.Command {
	var out outputFlags
	path := heal.DefaultJournal
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "show what heal has done: who, when, why, and how it ended",
		Long: `journal shows what heal wrote down: each act before it began, with what was seen,
and how it ended. An act without an end was cut short: sexton heal --resume.`,
		Example: `  sexton journal
  sexton journal -o jsonl --journal /mnt/journal.jsonl`,
		Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			entries, err := heal.ReadJournal(path)
			if printErr := s.print(out, healJournal{apiVersion, "Journal", entries}, itemsOf(entries), drawJournal(entries)); printErr != nil {
				return printErr
			}
			return err
		},
	}
	out.add(cmd)
	cmd.Flags().StringVar(&path, "journal", path, "the `file`")
	return cmd
}

// beginning is what of a note is shown to people: it may tell of thousands of children.
func beginning(note string) string {
	const most = 500 // bytes
	if len(note) <= most {
		return note
	}
	return fmt.Sprintf("%s and %d bytes more: -o json", note[:most], len(note)-most)
}

func drawJournal(entries []heal.Entry) func(*page, bool) {
	return func(p *page, wide bool) {
		for _, e := range entries {
			if e.Event == "note" && !wide {
				continue
			}
			by := fmt.Sprintf("uid %d", e.Who.UID)
			if e.Who.Sudo != "" {
				by = e.Who.Sudo
			}
			how := e.Event
			if e.Event == "end" {
				how = string(e.Step.Status)
			}
			p.line("%s  %s  %s  %s  by %s", e.Time.Format(time.RFC3339), how, styled{bold, e.Step.Action}, e.Step.Finding, by)
			p.para("  ", e.Step.Does)
			if e.Step.Why != "" {
				p.para("  ", e.Step.Why)
			}
			if e.Event == "end" {
				drawDumps(p, "  ", e.Step)
			}
			if e.Event == "note" {
				p.para("  note  ", beginning(string(e.Note)))
			}
			for _, seen := range e.Evidence {
				if wide {
					p.para("  seen  ", seen.Source+": "+seen.Text)
				}
			}
		}
		if len(entries) == 0 {
			p.line("Nothing has been done.")
		}
	}
}
