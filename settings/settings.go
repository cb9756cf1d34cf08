package settings

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

//go:embed doc.go
var doc string

// A Rule is one of the rules and its page. Where a check of scan has the same name it
// judges a host by the same rule.
type Rule struct {
	Name  string
	Doc   check.Page
	judge func(*Set) []check.Finding
}

// Rules are all rules, in the order in which they are documented.
func Rules() []Rule {
	out := []Rule{
		{Name: hostPathName, judge: hostPaths},
		{Name: noInitName, judge: each(noInit)},
		{Name: memoryName, judge: each(memory)},
		{Name: liveRestoreName, judge: liveRestore},
		{Name: privateUnitName, judge: privateUnit},
		{Name: loopName, judge: daemons(loop)},
		{Name: forceName, judge: daemons(force)},
	}
	for i := range out {
		out[i].Doc = check.PageOf(doc, "Rule", out[i].Name)
	}
	return out
}

// A Set is all that is judged together.
type Set struct {
	Workloads []Workload
	Units     []Unit
	Daemon    *Daemon // of docker's file of settings; nil if there is none
}

// A Unit is a service, as its files have it.
type Unit struct {
	Name          string
	Private       []snapshot.Directive // that give it a mount namespace of its own
	After, Before []string             // units
	Program       string               // the name of the first that it starts
	Daemon        *Daemon              // what the command line of a dockerd says
}

// told are the directives in words, and where each of them stands.
func (u *Unit) told() (words []string, evidence []check.Evidence) {
	return holding.Told(&snapshot.UnitSettings{Name: u.Name, Directives: u.Private})
}

// A Daemon is what a dockerd was told, by one file or command line.
type Daemon struct {
	LiveRestore *Setting // nil: it does not say
	DataRoot    *Setting
	Driver      *Setting
	Options     []Setting // of storage: name=value
}

// A Setting is a value and where it stands.
type Setting struct {
	Value string
	Place
}

// Judge says what is wrong, worst first, then by file and line.
func Judge(s *Set) []check.Finding {
	found := []check.Finding{}
	seen := map[string]int{}
	for _, r := range Rules() {
		for _, f := range r.judge(s) {
			f.Check = r.Name
			f.ID = r.Name + "/" + f.ID
			if seen[f.ID]++; seen[f.ID] > 1 { // one object twice in a file
				f.ID += fmt.Sprintf("#%d", seen[f.ID])
			}
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b check.Finding) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), cmp.Compare(a.Subject.File, b.Subject.File),
			cmp.Compare(a.Subject.Line, b.Subject.Line), cmp.Compare(a.ID, b.ID))
	})
	return found
}

// each makes a rule of one that judges a container.
func each(judge func(*Workload, *Container) []check.Finding) func(*Set) []check.Finding {
	return func(s *Set) (found []check.Finding) {
		for i := range s.Workloads {
			w := &s.Workloads[i]
			for k := range w.Containers {
				found = append(found, judge(w, &w.Containers[k])...)
			}
		}
		return found
	}
}

// daemons makes a rule of one that judges a dockerd.
func daemons(judge func(*Daemon) []check.Finding) func(*Set) []check.Finding {
	return func(s *Set) (found []check.Finding) {
		for _, d := range s.daemons() {
			found = append(found, judge(d.Daemon)...)
		}
		return found
	}
}

// A service is a dockerd by all that it was told, and its unit, if that is known.
type service struct {
	*Daemon
	unit *Unit
}

// daemons are the dockerds of the set: each unit's with what the file says, or the file's alone.
func (s *Set) daemons() (out []service) {
	for i := range s.Units {
		if u := &s.Units[i]; u.Daemon != nil {
			out = append(out, service{merge(s.Daemon, u.Daemon), u})
		}
	}
	if len(out) == 0 && s.Daemon != nil {
		out = append(out, service{s.Daemon, nil})
	}
	return out
}

// merge joins a file of settings and a command line, which holds.
func merge(file, flags *Daemon) *Daemon {
	if file == nil {
		return flags
	}
	return &Daemon{
		LiveRestore: cmp.Or(flags.LiveRestore, file.LiveRestore),
		DataRoot:    cmp.Or(flags.DataRoot, file.DataRoot),
		Driver:      cmp.Or(flags.Driver, file.Driver),
		Options:     slices.Concat(file.Options, flags.Options),
	}
}

// finding is one of a container at a place.
func finding(w *Workload, c *Container, at Place, what string) check.Finding {
	id := []string{at.File, w.Kind, w.Name, c.Name, what}
	id = slices.DeleteFunc(id, func(part string) bool { return part == "" })
	return check.Finding{
		ID:      strings.Join(id, "/"),
		Subject: check.Subject{Kind: "container", Name: w.label(c), File: at.File, Line: at.Line},
	}
}

// seen is evidence at a place.
func seen(at Place, text string) check.Evidence {
	return check.Evidence{Source: at.Where(), Text: text}
}
