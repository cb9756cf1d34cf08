package plan

import (
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// hungChild is a shim with a runc below it that does not end.
func hungChild() *snapshot.Host {
	return &snapshot.Host{BootID: "b1", Processes: []snapshot.Process{
		{PID: 30, PPID: 1, Start: 300, Comm: "containerd-shim", State: "S"}, {PID: 31, PPID: 30, Start: 310, Comm: "runc", State: "S"}},
		Ladder: &snapshot.Ladder{Layers: []snapshot.Layer{{PID: 31, Start: 310, Rung: snapshot.RungChild, Operation: "exec", Switches: 9}}}}
}

// A runc is ended below the very shim that it was seen below, and only while it stands still.
func TestEndChild(t *testing.T) {
	h := hungChild()
	f := finding("runtime-hung/31.310", check.Remedy{Action: "end-runtime-child", Risk: "disruptive", Targets: []check.Target{check.ProcessTarget(h.Process(31)), {Kind: "process", PID: 99, Start: 1}}})
	p := Make(h, []check.Finding{f})
	if len(p.Steps) != 1 {
		t.Fatalf("%d steps", len(p.Steps))
	}
	s := p.Steps[0]
	if s.Parent == nil || s.Parent.PID != 30 || s.Parent.Start != 300 || s.Target.Switches != 9 || s.Refused != "" || !strings.Contains(s.Does, "kill runc (pid 31), which containerd-shim (pid 30) started to exec") {
		t.Errorf("%+v", s)
	}
	if gone, left := Gone(h, s); gone || left != "runc (pid 31) still runs" {
		t.Errorf("gone %v, left %q", gone, left)
	}
	for name, change := range map[string]func(*snapshot.Host){
		"it has run":     func(h *snapshot.Host) { h.Ladder.Layers[0].Switches = 10 },
		"another parent": func(h *snapshot.Host) { h.Processes[1].PPID, h.Processes[0].PID = 32, 32 },
	} {
		now := hungChild()
		change(now)
		now.Sort()
		if again := Again(p, Make(now, []check.Finding{f})); again.Steps[0].Why == "" {
			t.Errorf("%s: %+v", name, again.Steps[0])
		}
	}
	ended := hungChild()
	ended.Processes = ended.Processes[:1]
	if gone, _ := Gone(ended, s); !gone {
		t.Error("it has ended, and is not gone")
	}
	unread := hungChild()
	unread.Ladder.Layers[0].Switches = 0
	if p := Make(unread, []check.Finding{f}); p.Steps[0].Refused == "" {
		t.Error("how often it ran is not known, and it is not refused")
	}
}
