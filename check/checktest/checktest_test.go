package checktest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// stopped finds each process that was stopped in both looks.
var stopped = &check.Check{
	Name:  "stopped",
	Needs: []snapshot.Part{snapshot.Processes, snapshot.Earlier},
	Run: func(p check.Pass) []check.Finding {
		var found []check.Finding
		for i := range p.Now.Processes {
			now := &p.Now.Processes[i]
			if p.Before == nil || now.State != snapshot.Stopped {
				continue
			}
			if before := p.Before.Same(now.ID()); before != nil && before.State == snapshot.Stopped {
				found = append(found, finding(p.Now, now))
			}
		}
		return found
	},
}

func finding(h *snapshot.Host, p *snapshot.Process) check.Finding {
	return check.Finding{
		ID: check.Identity("stopped", p.ID()), Severity: check.Warning, Subject: check.SubjectOf(h, p),
		Title: check.Label(h, p) + " is stopped", Cause: "a signal", Harm: "it does not run",
		Evidence: []check.Evidence{{Source: fmt.Sprintf("/proc/%d/stat", p.PID), Text: "state T"}},
		Holders:  []check.Holder{check.HolderOf(h, p)},
		Remedies: []check.Remedy{{Action: "resume-process", Risk: "safe", Why: "it goes on where it was"}},
		Advice:   []string{"look for who stopped it"},
		Since:    h.Started(p),
	}
}

// The stories in testdata end as written, hostile names, two findings, a reused pid and an unread part among them.
func TestRun(t *testing.T) { Run(t, stopped) }

const (
	nothing = "-- now.json --\n{}\n-- before.json --\n{}\n-- want --\n"
	oneLook = "-- now.json --\n{}\n-- want --\ncannot tell: a second look: only one was taken; use --interval 2s\n"
	twice   = `{"taken":"2026-01-02T03:04:05Z","uptime":0.9,"processes":[{"pid":7,"start":90,"state":"T","comm":"sh"}]}` + "\n"
	sick    = "-- before.json --\n" + twice + "-- now.json --\n" + twice + `-- want --
warning stopped/7.90
  subject  kind=process name=sh pid=7
  title    sh (pid 7) is stopped
  cause    a signal
  harm     it does not run
  evidence /proc/7/stat: state T
  holder   kind=process pid=7 comm=sh
  remedy   resume-process (safe): it goes on where it was
  advice   look for who stopped it
  since    2026-01-02T03:04:05Z
`
)

// folder writes stories, by name, into a new folder.
func folder(t *testing.T, stories map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range stories {
		if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhatAFolderLacks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		stories map[string]string
		want    string // "" if it lacks nothing
	}{
		{name: "nothing", stories: map[string]string{"clear": nothing, "one": oneLook, "sick": sick}},
		{name: "all", want: "has no stories"},
		{name: "a finding", stories: map[string]string{"clear": nothing, "one": oneLook}, want: "no story with a finding in"},
		{name: "a near miss", stories: map[string]string{"sick": sick, "one": oneLook}, want: "no story without finding and unknown"},
		{name: "cannot tell", stories: map[string]string{"clear": nothing, "sick": sick}, want: "no story that ends in cannot tell"},
		{name: "two kinds", stories: map[string]string{"one": oneLook}, want: "with a finding, none without"},
		{name: "a broken story is no near miss", stories: map[string]string{"sick": sick, "one": oneLook, "clear": "-- want --\n"}, want: "near miss"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, lack := tell(stopped, folder(t, tt.stories), false)
			if (lack == "") != (tt.want == "") || !strings.Contains(lack, tt.want) {
				t.Errorf("got %q, want %q", lack, tt.want)
			}
		})
	}
}

func TestHowAStoryFails(t *testing.T) {
	says := func(change func(*check.Finding)) *check.Check {
		return &check.Check{Name: "stopped", Run: func(p check.Pass) []check.Finding {
			f := finding(p.Now, &snapshot.Process{PID: 7, Start: 90})
			change(&f)
			return []check.Finding{f}
		}}
	}
	calls := 0
	for _, tt := range []struct {
		name  string
		check *check.Check
		story string
		want  string
	}{
		{name: "another end", story: strings.Replace(sick, "state T\n", "state D\n", 1), want: "-update"},
		{name: "an end that says more", story: sick + "cannot tell: x: y\n", want: "ends otherwise"},
		{name: "no now.json", story: "-- want --\n", want: "needs the sections"},
		{name: "no want", story: "-- now.json --\n{}\n", want: "needs the sections"},
		{name: "unknown section", story: nothing + "-- nwo.json --\n", want: `"nwo.json" is unknown`},
		{name: "section twice", story: nothing + "-- want --\n", want: `"want" is unknown or comes twice`},
		{name: "unknown field", story: strings.Replace(sick, `"comm"`, `"command"`, 2), want: `unknown field "command"`},
		{name: "unknown field before", story: strings.Replace(sick, `"comm"`, `"command"`, 1), want: "before.json: json: unknown field"},
		{name: "not JSON", story: "-- now.json --\n{\n-- want --\n", want: "now.json: unexpected EOF"},
		{name: "two hosts in one section", story: "-- now.json --\n{}{}\n-- want --\n", want: "more text after the host"},

		{name: "an answer by chance", want: "gives another answer", story: nothing, check: says(func(f *check.Finding) { calls++; f.Title = fmt.Sprint(calls) })},
		{name: "id of another check", want: "its id must be stopped/IDENTITY", story: nothing, check: says(func(f *check.Finding) { f.ID = "other/7" })},
		{name: "id without identity", want: "its id must be", story: nothing, check: says(func(f *check.Finding) { f.ID = "stopped/" })},
		{name: "severity", want: `unknown severity "error"`, story: nothing, check: says(func(f *check.Finding) { f.Severity = "error" })},
		{name: "kind of subject", want: `unknown kind of subject "pod"`, story: nothing, check: says(func(f *check.Finding) { f.Subject.Kind = "pod" })},
		{name: "no cause", want: "needs title, cause and harm", story: nothing, check: says(func(f *check.Finding) { f.Cause = "" })},
		{name: "no evidence", want: "no evidence", story: nothing, check: says(func(f *check.Finding) { f.Evidence = nil })},
		{name: "evidence from nowhere", want: "without source", story: nothing, check: says(func(f *check.Finding) { f.Evidence[0].Source = "" })},
		{name: "kind of holder", want: `unknown kind of holder "person"`, story: nothing, check: says(func(f *check.Finding) { f.Holders[0].Kind = "person" })},
		{name: "risk", want: `unknown risk "low"`, story: nothing, check: says(func(f *check.Finding) { f.Remedies[0].Risk = "low" })},
		{name: "remedy without a reason", want: "without action or why", story: nothing, check: says(func(f *check.Finding) { f.Remedies[0].Why = "" })},
		{name: "an id twice", want: "another finding has this id", story: nothing, check: &check.Check{Name: "stopped", Run: func(p check.Pass) []check.Finding {
			f := finding(p.Now, &snapshot.Process{PID: 7})
			return []check.Finding{f, f}
		}}},
		{name: "unread without a reason", want: "unknown without what or why", check: stopped,
			story: "-- before.json --\n{}\n-- now.json --\n" + `{"unread":[{"part":"processes","path":"/proc/7/stat","err":""}]}` + "\n-- want --\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.check == nil {
				tt.check = stopped
			}
			ends, _ := tell(tt.check, folder(t, map[string]string{"story": tt.story}), false)
			if len(ends) != 1 || ends[0].name != "story" || !strings.Contains(ends[0].problem, tt.want) {
				t.Errorf("got %+v, want %q", ends, tt.want)
			}
		})
	}
}

// -update rewrites the end and nothing else, and what it wrote is then right.
func TestUpdate(t *testing.T) {
	story := "Two lines\nof text.\n" + strings.Replace(sick, "state T\n", "state D\n", 1)
	dir := folder(t, map[string]string{"sick": story})
	for _, update := range []bool{true, false} {
		if ends, _ := tell(stopped, dir, update); ends[0].problem != "" {
			t.Fatalf("update %v: %s", update, ends[0].problem)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "sick.txtar"))
	if diff := cmp.Diff("Two lines\nof text.\n"+sick, string(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// Every field of a result is in the text, those that are added one day as well.
func TestTextIsComplete(t *testing.T) {
	var marks []string
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n := len(marks) + 1000
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("mark-%d", n))
			marks = append(marks, v.String())
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(n))
			marks = append(marks, fmt.Sprint(n))
		case reflect.Uint64:
			v.SetUint(uint64(n))
			marks = append(marks, fmt.Sprint(n))
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0))
			fill(v.Index(1))
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Date(n, 1, 2, 3, 4, 5, 0, time.UTC)))
				marks = append(marks, fmt.Sprint(n))
				return
			}
			for i := range v.NumField() {
				if v.Type().Field(i).Name != "Check" && v.Type().Field(i).Type.Kind() != reflect.Bool { // the id begins with the first; Whole is the story's own
					fill(v.Field(i))
				}
			}
		default:
			t.Fatalf("a field of a kind that this test does not know: %s", v.Type())
		}
	}
	var r check.Result
	fill(reflect.ValueOf(&r).Elem())
	got := text(r)
	for _, mark := range marks {
		if !strings.Contains(got, mark) {
			t.Errorf("%s is not in\n%s", mark, got)
		}
	}
	if len(marks) < 60 {
		t.Errorf("only %d values were set", len(marks))
	}
}

// A text from a container stays on its line and forges neither a line, a field nor a section.
func TestTextIsPlain(t *testing.T) {
	hostile := "x\n-- now.json --\ncannot tell: \x1b[2J\xff"
	f := check.Finding{ID: "stopped/" + hostile, Severity: check.Info, Subject: check.Subject{Kind: "process", Name: "a pid=1"}, Title: hostile, Cause: " ", Harm: `"quoted"`,
		Holders: []check.Holder{{Kind: "process", Comm: `"`, Path: hostile}}, Advice: []string{"rose 7 × 12, to 80 %"}}
	got := text(check.Result{Findings: []check.Finding{f}, Unknown: []check.Unknown{{What: hostile, Why: "EACCES"}}})
	want := strings.Join([]string{
		`info "stopped/x\n-- now.json --\ncannot tell: \x1b[2J\xff"`,
		`  subject  kind=process name="a pid=1"`,
		`  title    "x\n-- now.json --\ncannot tell: \x1b[2J\xff"`,
		`  cause    " "`,
		`  harm     "\"quoted\""`,
		`  holder   kind=process comm="\"" path="x\n-- now.json --\ncannot tell: \x1b[2J\xff"`,
		`  advice   rose 7 × 12, to 80 %`,
		`  since    not known`,
		`cannot tell: "x\n-- now.json --\ncannot tell: \x1b[2J\xff": EACCES`, ""}, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
