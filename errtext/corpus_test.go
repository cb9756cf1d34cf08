package errtext

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A row is a text that somebody posted and what a right reading of it says.
type row struct {
	ID, Text, Source, Note string
	Expect                 map[string]any
}

func rows(t testing.TB, file string) []row {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []row
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v: %.200s", file, err, lines.Text())
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil || len(out) == 0 {
		t.Fatalf("%s: %v, %d rows", file, err, len(out))
	}
	return out
}

// differs tells which fields of the event are neither what the row expects nor
// one of its alternatives.
func (r row) differs(e Event) []string {
	got := map[string]string{
		"family": string(e.Family), "runtime": e.Runtime, "driver": e.Driver, "container_id": e.Container,
		"path": e.Path, "device": e.Device, "pod_uid": e.PodUID,
	}
	var out []string
	for name, is := range got {
		want, ok := r.Expect[name]
		if !ok {
			continue
		}
		right := []any{want}
		if more, ok := r.Expect[name+"_alt"].([]any); ok {
			right = append(right, more...)
		}
		if !slices.ContainsFunc(right, func(v any) bool { s, _ := v.(string); return s == is }) {
			out = append(out, name+" is "+is+", want one of "+strings.Trim(strings.Join(strings.Fields(sprint(right)), " "), "[]"))
		}
	}
	slices.Sort(out)
	return out
}

func sprint(values []any) string {
	b, _ := json.Marshal(values)
	return string(b)
}

// Each row gives one event with what the row expects. A row that expects no
// family is no trouble and gives none.
func TestCorpus(t *testing.T) {
	for _, file := range corpora {
		for _, r := range rows(t, file) {
			t.Run(r.ID, func(t *testing.T) {
				events := Read([]byte(r.Text))
				if r.Expect["family"] == nil {
					if len(events) != 0 {
						t.Errorf("%d events, want none: %+v\n%s", len(events), events, r.Text)
					}
					return
				}
				if len(events) != 1 {
					t.Fatalf("%d events, want 1: %+v\n%s", len(events), events, r.Text)
				}
				if wrong := r.differs(events[0]); len(wrong) != 0 {
					t.Errorf("%s\n%s", strings.Join(wrong, "\n"), r.Text)
				}
			})
		}
	}
}

var corpora = []string{"errors.jsonl", "own.jsonl", "own2.jsonl", "held.jsonl", "mounts.jsonl", "own3.jsonl", "own4.jsonl", "own6.jsonl"}
