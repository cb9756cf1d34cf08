package cli

import (
	"bytes"
	"strings"
	"testing"

	"sexton.dev/plan"
)

// A command is printed as it is to be typed, however long it is and whatever spaces it has.
func TestDrawCommand(t *testing.T) {
	command := "nsenter -t 7 -m umount '/a  b/" + strings.Repeat("c ", 60) + "'"
	var b bytes.Buffer
	drawStep(&page{w: &b, width: 80}, 1, plan.Step{Status: plan.Planned, Command: command}, false)
	if !strings.Contains(b.String(), "   by hand  "+command+"\n") {
		t.Error(b.String())
	}
}

// A plan says whose dumps are kept; what came of it is told in their place.
func TestDrawDumps(t *testing.T) {
	for _, tt := range []struct {
		name string
		step plan.Step
		want string
	}{
		{name: "none", step: plan.Step{Status: plan.Planned}},
		{name: "planned", step: plan.Step{Status: plan.Planned, Dumps: []plan.Dump{{PID: 1, Comm: "dockerd"}, {PID: 2, Comm: "a\x1b[2J"}}},
			want: "   first    keep goroutine dumps of dockerd (pid 1), a\\x1b[2J (pid 2)\n"},
		{name: "refused before", step: plan.Step{Status: plan.Refused, Dumps: []plan.Dump{{PID: 1, Comm: "dockerd"}}}},
		{name: "tried", step: plan.Step{Status: plan.Done, Dumps: []plan.Dump{{PID: 1, Comm: "dockerd", File: "/j.dumps/x"}, {PID: 2, Comm: "containerd", Why: "it is stopped"}, {PID: 3, Comm: "shim", File: "/j.dumps/y", Why: "cut"}}},
			want: "   dump     dockerd (pid 1): /j.dumps/x\n   no dump  containerd (pid 2): it is stopped\n   dump     shim (pid 3): /j.dumps/y: cut\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			drawDumps(&page{w: &b, width: 120}, "   ", tt.step)
			if b.String() != tt.want {
				t.Errorf("%q, want %q", b.String(), tt.want)
			}
		})
	}
}
