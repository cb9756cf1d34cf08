package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/check"
	"sexton.dev/errtext"
	"sexton.dev/snapshot"
)

// A report is what scan and why print.
type report struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Taken      time.Time       `json:"taken"`
	Host       reportHost      `json:"host"`
	Looked     looked          `json:"looked"`
	Answer     string          `json:"answer,omitempty"`
	Tables     []errtext.Table `json:"tables,omitempty"` // that a text has
	Findings   []check.Finding `json:"findings"`
	Unknown    []check.Unknown `json:"unknown"`
}

type reportHost struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel"`
	BootID string `json:"bootID"`
}

// looked says what was looked at: an answer "clear" is only as good as that.
type looked struct {
	Looks      int      `json:"looks"`
	Processes  int      `json:"processes"`
	Containers int      `json:"containers"` // with processes
	Files      int      `json:"files,omitempty"`
	Checks     []string `json:"checks"`
	Mounts     *way     `json:"mounts,omitempty"`
}

// way is how the mounts were read, and what that cannot see.
type way struct {
	Way     string `json:"way"`             // statmount, mountinfo
	BPF     bool   `json:"bpf,omitempty"`   // with the numbers of most read by a BPF program
	NoBPF   string `json:"noBPF,omitempty"` // why not, on a host large enough for that
	Why     string `json:"why,omitempty"`
	Blind   string `json:"blind,omitempty"`
	Settled bool   `json:"settled"` // read twice, and equal
}

func wayOf(h *snapshot.Host) *way {
	if h.Mounts == nil {
		return nil
	}
	return &way{h.Mounts.Way, h.Mounts.BPF, h.Mounts.NoBPF, h.Mounts.Why, h.Mounts.Blind, h.Mounts.Settled}
}

func (v *sight) report() *report {
	r := &report{
		APIVersion: apiVersion, Kind: "Report", Taken: v.now.Taken.UTC().Truncate(time.Millisecond),
		Host:     reportHost{v.now.Name, v.now.Kernel, v.now.BootID},
		Looked:   looked{Looks: 1, Processes: len(v.now.Processes), Containers: inUse(v.now)},
		Findings: v.Findings,
		Unknown:  v.unknown(),
	}
	r.Looked.Mounts = wayOf(v.now)
	if v.before != nil {
		r.Looked.Looks = 2
	}
	for _, c := range v.checks {
		r.Looked.Checks = append(r.Looked.Checks, c.Name)
	}
	return r
}

// inUse counts the containers that have processes.
func inUse(h *snapshot.Host) int {
	seen := map[string]bool{}
	for i := range h.Processes {
		if c := h.Processes[i].Container; c != "" {
			seen[c] = true
		}
	}
	return len(seen)
}

// unknown is what could not be read.
func (v *sight) unknown() []check.Unknown { return slices.Concat(v.Unknown, unasked(v.now)) }

// unasked lists the runtimes that gave no answer: names are missing then, no finding is.
func unasked(h *snapshot.Host) []check.Unknown {
	var out []check.Unknown
	for _, u := range h.Unread {
		if u.Part == snapshot.Names {
			out = append(out, check.Unknown{What: u.Path, Why: u.Err})
		}
	}
	return out
}

// code is the exit code of a report.
func (v *sight) code(failOn check.Severity) int {
	switch {
	case v.Worst().Rank() >= failOn.Rank() && len(v.Findings) > 0:
		return Findings
	case v.CannotTell():
		return CantTell
	}
	return Clean
}

// draw prints a report for people.
func (r *report) draw(p *page, wide bool) {
	for _, f := range r.Findings {
		drawFinding(p, f, wide)
		p.line("  next    sexton why %s", f.ID)
		p.line("")
	}
	if len(r.Findings) == 0 {
		found := "Nothing is wrong"
		if slices.ContainsFunc(r.Unknown, func(u check.Unknown) bool { return u.Whole }) {
			found = "Nothing was found, but it cannot be told that nothing is wrong"
		}
		p.para("", fmt.Sprintf("%s: %s and %s were looked at by %s.", found, check.Count(r.Looked.Processes, "process"),
			check.Count(r.Looked.Containers, "container"), strings.Join(r.Looked.Checks, ", ")))
		p.line("")
	}
	drawUnknown(p, r.Unknown, wide)
}

func drawFinding(p *page, f check.Finding, wide bool) {
	p.line("%s  %s  %s", styled{colorOf(f.Severity), strings.ToUpper(string(f.Severity))}, styled{bold, f.Check}, subject(f.Subject))
	p.para("  ", f.Title)
	drawLadder(p, f.Ladder)
	p.para("  cause   ", f.Cause)
	p.para("  harm    ", f.Harm)
	for i, e := range f.Evidence {
		if !wide && i == 2 {
			p.line("          and %s more: -o wide", check.Number(len(f.Evidence)-i))
			break
		}
		p.para("  seen    ", e.Source+": "+e.Text)
	}
	for _, a := range f.Advice {
		p.para("  advice  ", a)
	}
	if wide {
		for _, m := range f.Remedies {
			p.para("  remedy  ", fmt.Sprintf("%s (%s): %s", m.Action, m.Risk, m.Why))
		}
	}
}

func colorOf(s check.Severity) style {
	switch s {
	case check.Critical:
		return red
	case check.Warning:
		return yellow
	}
	return blue
}

// subject names what a finding is about in few words.
func subject(s check.Subject) string {
	if s.File != "" {
		return fmt.Sprintf("%s:%d", s.File, s.Line)
	}
	text := s.Kind + " " + s.Name
	if s.Pod != "" {
		text += ", pod " + s.Pod
	}
	if s.PID != 0 {
		text += fmt.Sprintf(", pid %d", s.PID)
	}
	return text
}

// drawUnknown prints what could not be read, the same lack of several checks once.
func drawUnknown(p *page, unknown []check.Unknown, wide bool) {
	type lack struct{ what, why string }
	var order []lack
	checks := map[lack][]string{}
	for _, u := range unknown {
		l := lack{u.What, u.Why}
		if checks[l] == nil {
			order = append(order, l)
		}
		if !slices.Contains(checks[l], u.Check) {
			checks[l] = append(checks[l], u.Check)
		}
	}
	for i, l := range order {
		if i == 0 {
			p.line("%s", styled{bold, "Cannot tell"})
		}
		if i == 5 && !wide {
			p.line("  and %d more: -o wide", len(order)-i)
			break
		}
		names := strings.Trim(strings.Join(checks[l], ", "), ", ")
		if names != "" {
			names = "  (" + names + ")"
		}
		p.para("  ", l.what+": "+l.why+names)
	}
	if len(order) > 0 {
		p.line("")
	}
}
