package cli

import (
	"bytes"
	"strings"
	"testing"

	"sexton.dev/heal"
	"sexton.dev/plan"
)

// What an act wanted kept is shown by -o wide, cut where it is long.
func TestDrawJournal(t *testing.T) {
	long := `["` + strings.Repeat("x", 600) + `"]`
	entries := []heal.Entry{
		{Event: "note", Step: plan.Step{Action: "reap-by-ptrace"}, Note: []byte(`[{"pid":7,"status":256}]`)},
		{Event: "note", Step: plan.Step{Action: "reap-by-ptrace"}, Note: []byte(long)},
	}
	for _, wide := range []bool{false, true} {
		var b bytes.Buffer
		drawJournal(entries)(&page{w: &b, width: 1000}, wide)
		text := b.String()
		if strings.Contains(text, `  note  [{"pid":7,"status":256}]`+"\n") != wide || strings.Contains(text, "x and 104 bytes more: -o json\n") != wide || !wide && text != "" {
			t.Errorf("wide %v:\n%s", wide, text)
		}
	}
}
