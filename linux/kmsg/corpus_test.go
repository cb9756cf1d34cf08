package kmsg

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// corpus is what people posted of their kernels' logs, with what a right reading says.
const corpus = "../../errtext/testdata/kmsg.jsonl"

// A row is an excerpt of a log. Expect may have "<field>_alt": further right values.
type excerpt struct {
	ID, Text string
	Expect   map[string]any
}

func rows(t testing.TB, file string) (out []excerpt) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r excerpt
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %.200s", err, lines.Text())
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil || len(out) == 0 {
		t.Fatalf("%s: %v, %d rows", file, err, len(out))
	}
	return out
}

// read is all events of a text, folded.
func read(t testing.TB, text string) []Event {
	t.Helper()
	var f Folder
	if err := Read(strings.NewReader(text), time.UTC, func(e Event) error { f.Add(e); return nil }); err != nil {
		t.Fatal(err)
	}
	f.Sort()
	return f.Events
}

// differs tells which fields of the event are not right.
func (r excerpt) differs(e Event) (out []string) {
	for name, is := range map[string]any{"family": string(e.Family), "container_id": e.Container, "pod_uid": e.PodUID,
		"victim_process": e.Process, "victim_pid": float64(e.PID), "device": e.Device} {
		if is == "" || is == 0.0 {
			is = nil
		}
		right := []any{r.Expect[name]}
		if more, ok := r.Expect[name+"_alt"].([]any); ok {
			right = append(right, more...)
		}
		if !slices.Contains(right, is) {
			text, _ := json.Marshal([]any{is, right})
			out = append(out, name+" is, and should be one of "+string(text))
		}
	}
	slices.Sort(out)
	return out
}

// Each excerpt gives one event with all of what it says.
func TestCorpus(t *testing.T) {
	for _, r := range rows(t, corpus) {
		t.Run(r.ID, func(t *testing.T) {
			events := read(t, r.Text)
			want := 1
			if r.ID == "k016" { // of two devices
				want = 2
			}
			if len(events) != want {
				t.Fatalf("%d events, want %d: %+v\n%s", len(events), want, events, r.Text)
			}
			for _, e := range events {
				if wrong := r.differs(e); len(wrong) > 0 {
					t.Errorf("%s\n%+v\n%s", strings.Join(wrong, "\n"), e, r.Text)
				}
			}
			if r.Expect["global_oom"] == true && !events[0].Global {
				t.Errorf("not of the host: %+v", events[0])
			}
		})
	}
}
