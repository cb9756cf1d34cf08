package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sexton.dev/heal"
	"sexton.dev/plan"
	"sexton.dev/snapshot"
)

func (s *session) printPlan(out outputFlags, p healPlan) error {
	return s.print(out, p, itemsOf(p.Steps), p.draw)
}

// draw prints a plan for people.
func (p healPlan) draw(page *page, wide bool) {
	for i, st := range p.Steps {
		drawStep(page, i+1, st, wide)
	}
	for _, u := range p.Unplanned {
		page.line("%s  %s", styled{bold, u.Finding}, "there is no act for it")
		page.para("  ", u.Title)
		for _, a := range u.Advice {
			page.para("  advice   ", a)
		}
		page.line("")
	}
	drawUnknown(page, p.Unknown, wide)
	switch {
	case p.blind:
		page.line("Whether there is something to heal cannot be told: sexton scan says why.")
	case len(p.Steps)+len(p.Unplanned) == 0:
		page.line("There is nothing to heal.")
	}
}

func drawStep(p *page, n int, st plan.Step, wide bool) {
	p.line("%d  %s  %s  %s", n, styled{bold, st.Action}, styled{colorOfRisk(st.Risk), st.Risk}, st.Finding)
	p.para("   does     ", st.Does)
	if st.Command != "" {
		p.line("   by hand  %s", st.Command) // in one line, with each space, or it names another path
	}
	for _, h := range st.Holds {
		if !wide {
			break
		}
		p.para("   if       ", h)
	}
	for _, t := range st.Then {
		if wide {
			p.para("   then     ", t)
		}
	}
	for _, a := range st.Affects {
		p.para("   affects  ", a)
	}
	drawDumps(p, "   ", st)
	if st.Refused != "" && st.Status == plan.Planned {
		p.para("   refused  ", st.Refused)
	}
	if st.Status != plan.Planned {
		p.para("   "+string(st.Status)+"  ", st.Why)
	}
	p.line("")
}

// drawDumps prints whose goroutines are kept before a step, or where they are.
func drawDumps(p *page, indent string, st plan.Step) {
	var names []string
	for _, d := range st.Dumps {
		names = append(names, d.Name())
		switch {
		case d.File != "" && d.Why != "":
			p.para(indent+"dump     ", d.Name()+": "+d.File+": "+d.Why)
		case d.File != "":
			p.para(indent+"dump     ", d.Name()+": "+d.File)
		case d.Why != "":
			p.para(indent+"no dump  ", d.Name()+": "+d.Why)
		}
	}
	if names != nil && st.Status == plan.Planned {
		p.para(indent+"first    ", "keep goroutine dumps of "+strings.Join(names, ", "))
	}
}

func colorOfRisk(risk string) style {
	switch risk {
	case "destructive":
		return red
	case "disruptive":
		return yellow
	}
	return blue
}

// healResume says of each act that has no end in the journal whether it was done.
func (s *session) healResume(ctx context.Context, host *hostFlags, out outputFlags, do healFlags) error {
	release, err := s.healLock()
	if err != nil {
		return err
	}
	defer release()
	entries, bad := heal.ReadJournal(do.journal)
	if damaged := (*heal.Damaged)(nil); errors.As(bad, &damaged) {
		fmt.Fprintln(s.Stderr, printable(bad.Error()))
	} else if bad != nil {
		s.code = Unhealed
		return bad
	}
	open := heal.Unfinished(entries)
	p := healPlan{APIVersion: apiVersion, Kind: "Plan"}
	if len(open) == 0 {
		return s.print(out, p, nil, func(p *page, _ bool) { p.line("No act was cut short.") })
	}
	journal, err := heal.OpenJournal(do.journal)
	if err != nil {
		s.code = Unhealed
		return err
	}
	defer journal.Close()
	v, err := s.see(ctx, host, snapshot.MountTables, snapshot.References)
	if err != nil {
		return err
	}
	if err := heal.Nested(v.now); err != nil && !host.nested { // what is outside is not gone
		s.code = Unhealed
		return err
	}
	p.Host, p.BootID, p.Unknown = v.now.Name, v.now.BootID, v.unknown()
	if p.Steps, err = heal.Resume(ctx, journal, open, v.sight()); err != nil {
		return err
	}
	s.code = p.code(true)
	return s.printPlan(out, p)
}
