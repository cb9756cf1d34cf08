package check

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/snapshot"
)

// says is a check that always finds the same.
func says(name string, needs []snapshot.Part, findings ...Finding) *Check {
	return &Check{Name: name, Needs: needs, Run: func(Pass) []Finding { return findings }}
}

func found(id string, s Severity) Finding { return Finding{ID: id, Severity: s} }

func TestRun(t *testing.T) {
	now := &snapshot.Host{Unread: []snapshot.Unread{
		{Part: snapshot.Processes, Path: "/proc/7/stat", Err: "permission denied"},
		{Part: snapshot.Budgets, Path: "/sys/fs/cgroup", Err: "no answer in time", Whole: true},
		{Part: snapshot.Processes, Path: "/proc/8/stat", Err: "unexpected format"},
	}}
	processes, budgets, earlier := []snapshot.Part{snapshot.Processes}, []snapshot.Part{snapshot.Budgets}, []snapshot.Part{snapshot.Earlier}
	for _, tt := range []struct {
		name   string
		checks []*Check
		pass   Pass
		want   Result
		tell   bool // CannotTell
		worst  Severity
	}{
		{name: "no check", pass: Pass{Now: now}},
		{name: "clear, what is unread is another's", checks: []*Check{says("a", []snapshot.Part{snapshot.Names})}, pass: Pass{Now: now}},
		{name: "worst first, then by check and id", worst: Critical, pass: Pass{Now: &snapshot.Host{}},
			checks: []*Check{says("b", nil, found("b/2", Warning), found("b/10", Info), found("b/1", Warning)), says("a", nil, found("a/1", Warning), found("a/0", Critical), found("a/x", "odd"))},
			want: Result{Findings: []Finding{
				{ID: "a/0", Check: "a", Severity: Critical}, {ID: "a/1", Check: "a", Severity: Warning}, {ID: "b/1", Check: "b", Severity: Warning},
				{ID: "b/2", Check: "b", Severity: Warning}, {ID: "b/10", Check: "b", Severity: Info}, {ID: "a/x", Check: "a", Severity: "odd"}}}},
		{name: "the name on a finding is that of its check", worst: Info, pass: Pass{Now: &snapshot.Host{}},
			checks: []*Check{says("a", nil, Finding{ID: "a/1", Check: "forged", Severity: Info})}, want: Result{Findings: []Finding{{ID: "a/1", Check: "a", Severity: Info}}}},
		{name: "entries unread: findings and unknown, and it can tell", worst: Info, pass: Pass{Now: now},
			checks: []*Check{says("a", processes, found("a/1", Info))},
			want: Result{Findings: []Finding{{ID: "a/1", Check: "a", Severity: Info}}, Unknown: []Unknown{
				{Check: "a", What: "/proc/7/stat", Why: "permission denied"}, {Check: "a", What: "/proc/8/stat", Why: "unexpected format"}}}},
		{name: "a whole part unread: what is found in the rest is true", tell: true, worst: Warning, pass: Pass{Now: now},
			checks: []*Check{says("a", budgets, found("a/1", Warning)), says("b", budgets)},
			want: Result{Findings: []Finding{{ID: "a/1", Check: "a", Severity: Warning}}, Unknown: []Unknown{
				{Check: "a", What: "/sys/fs/cgroup", Why: "no answer in time", Whole: true}, {Check: "b", What: "/sys/fs/cgroup", Why: "no answer in time", Whole: true}}}},
		{name: "one look where two are needed", tell: true, pass: Pass{Now: &snapshot.Host{}}, checks: []*Check{says("a", earlier), says("b", nil)},
			want: Result{Unknown: []Unknown{{Check: "a", What: "a second look", Why: "only one was taken; use --interval 2s", Whole: true}}}},
		{name: "two looks", pass: Pass{Now: &snapshot.Host{}, Before: &snapshot.Host{}}, checks: []*Check{says("a", earlier)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Run(tt.checks, tt.pass)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got.CannotTell() != tt.tell || got.Worst() != tt.worst {
				t.Errorf("cannot tell %v, worst %q; want %v, %q", got.CannotTell(), got.Worst(), tt.tell, tt.worst)
			}
		})
	}
}

// A check is given what the caller was given, the limits too.
func TestRunPassesAll(t *testing.T) {
	want := Pass{Now: &snapshot.Host{Name: "now"}, Before: &snapshot.Host{Name: "before"}, Limits: Limits{BudgetWarning: 0.5}}
	Run([]*Check{{Name: "a", Run: func(got Pass) []Finding {
		if got != want {
			t.Errorf("got %+v", got)
		}
		return nil
	}}}, want)
}

func TestSeverities(t *testing.T) {
	last := 0
	for _, s := range []Severity{"", Info, Warning, Critical} {
		if r := s.Rank(); s != "" && r <= last {
			t.Errorf("%q has rank %d after %d", s, r, last)
		} else {
			last = r
		}
	}
	if Severity("error").Rank() != 0 || Severity("").Rank() != 0 {
		t.Error("an unknown severity has a rank")
	}
	if l := Defaults; !(0 < l.BudgetWarning && l.BudgetWarning < l.BudgetCritical && l.BudgetCritical <= 1 && l.Soon > 0) {
		t.Errorf("defaults make no order: %+v", l)
	}
}

func TestDocOf(t *testing.T) {
	const source = "// Package x finds nothing.\n//\n// # Check dead-letter\n//\n// dead-letter: a letter that nobody reads: ever\n//\n// It says why.\n//\n//\tcode\n//\n// Sources: none.\npackage x\n\nvar doc string\n"
	c := Check{Doc: DocOf(source, "dead-letter")}
	if want := "dead-letter: a letter that nobody reads: ever\n\nIt says why.\n\n\tcode\n\nSources: none."; c.Doc.String() != want {
		t.Errorf("got %q, want %q", c.Doc, want)
	}
	if want := "a letter that nobody reads: ever"; c.Doc.Summary() != want {
		t.Errorf("summary %q", c.Doc.Summary())
	}
	for _, name := range []string{"dead", "letter", "dead-letter-2", ""} {
		func() {
			defer func() {
				if said, _ := recover().(string); !strings.Contains(said, "'# Check "+name+"'") {
					t.Errorf("%q: panic %q", name, said)
				}
			}()
			t.Errorf("%q has the page %q", name, DocOf(source, name).String())
		}()
	}
}
