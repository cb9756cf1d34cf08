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

// How a text was pasted does not change what it tells.
func TestPasted(t *testing.T) {
	ways := map[string]func(string) string{
		"CRLF":           func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") + "\r\n" },
		"mail":           func(s string) string { return "> " + strings.ReplaceAll(s, "\n", "\n> ") },
		"indented":       func(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") },
		"Markdown":       func(s string) string { return "```\n" + s + "\n```" },
		"code in a line": func(s string) string { return "`" + s + "`" },
		"quotes":         func(s string) string { return `"` + s + `"` },
		"prose":          func(s string) string { return "I see this in the log of the node:\n\n" + s + "\n\nAny idea?" },
		"CRI":            func(s string) string { return criLine + strings.ReplaceAll(s, "\n", "\n"+criLine) },
		"colors":         func(s string) string { return "\x1b[31m" + s + "\x1b[0m" },
		"HTML":           strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace,
	}
	for _, file := range corpora {
		for _, r := range rows(t, file) {
			plain := Read([]byte(r.Text))
			for name, way := range ways {
				if name == "code in a line" && strings.Contains(r.Text, "`") || name == "quotes" && strings.ContainsAny(r.Text, "\"\\\n") {
					continue
				}
				pasted := Read([]byte(way(r.Text)))
				if len(pasted) != len(plain) {
					t.Errorf("%s as %s: %d events, want %d\n%s", r.ID, name, len(pasted), len(plain), r.Text)
					continue
				}
				for i, e := range pasted {
					want := plain[i]
					e.Line, e.Text, want.Line, want.Text = 0, "", 0, ""
					if e != want {
						t.Errorf("%s as %s: %+v\nwant %+v\n%s", r.ID, name, e, want, r.Text)
					}
				}
			}
		}
	}
}

const criLine = "2020-01-01T00:00:00.000000000Z stderr F "

var corpora = []string{"errors.jsonl", "own.jsonl", "own2.jsonl", "held.jsonl", "mounts.jsonl", "own3.jsonl", "own4.jsonl", "own5.jsonl", "own6.jsonl", "own7.jsonl"}
