package plan

import (
	"slices"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// shimHost is a dockerd above a containerd above a shim above a runc, with another dockerd
// and its containerd beside them.
func shimHost(namespace string) *snapshot.Host {
	h := &snapshot.Host{
		Processes: []snapshot.Process{
			{PID: 10, PPID: 1, Start: 1, Comm: "dockerd", State: "S"},
			{PID: 11, PPID: 10, Start: 1, Comm: "containerd", State: "S"},
			{PID: 20, PPID: 1, Start: 2, Comm: "dockerd", State: "S"},
			{PID: 21, PPID: 20, Start: 2, Comm: "containerd", State: "S"},
			{PID: 30, PPID: 1, Start: 3, Comm: "containerd-shim", State: "S", Argv: []string{"shim", "-address", "/run/two.sock"}},
			{PID: 31, PPID: 30, Start: 4, Comm: "runc", State: "S"},
		},
		Ladder: &snapshot.Ladder{
			Layers: []snapshot.Layer{{PID: 10, Start: 1, Rung: snapshot.RungDockerd}, {PID: 11, Start: 1, Rung: snapshot.RungContainerd}, {PID: 20, Start: 2, Rung: snapshot.RungDockerd},
				{PID: 21, Start: 2, Rung: snapshot.RungContainerd}, {PID: 30, Start: 3, Rung: snapshot.RungShim, Namespace: namespace}, {PID: 31, Start: 4, Rung: snapshot.RungChild, Switches: 9}},
			Listeners: []snapshot.Listener{{Path: "/run/one.sock", PIDs: []int{11}}, {Path: "/run/two.sock", PIDs: []int{21}}},
		},
	}
	h.Sort()
	return h
}

func TestWaiting(t *testing.T) {
	parent := func(comm string) func(*snapshot.Host) { return func(h *snapshot.Host) { h.Process(30).Comm = comm } }
	for _, tt := range []struct {
		name, namespace string
		change          func(*snapshot.Host)
		want            string
	}{
		{name: "docker's", namespace: "moby", want: "dockerd (pid 20), containerd (pid 21), containerd-shim (pid 30)"},
		{name: "of a shim that does not tell", want: "dockerd (pid 20), containerd (pid 21), containerd-shim (pid 30)"},
		{name: "of the kubelet", namespace: "k8s.io", want: "containerd (pid 21), containerd-shim (pid 30)"},
		{name: "no ladder", change: func(h *snapshot.Host) {
			h.Ladder = nil
			h.Process(20).State, h.Process(21).Container = snapshot.Dead, "c" // a container may call its programs so
		}, want: "dockerd (pid 10), containerd (pid 11), containerd-shim (pid 30)"},
		{name: "the daemons are gone", change: func(h *snapshot.Host) { h.Ladder.Layers = h.Ladder.Layers[4:] }, want: "containerd-shim (pid 30)"},
		{name: "a number used again", change: func(h *snapshot.Host) { h.Process(21).Start, h.Process(20).Start = 99, 99 }, want: "dockerd (pid 10), containerd (pid 11), containerd-shim (pid 30)"},
		{name: "started by containerd itself", change: func(h *snapshot.Host) { h.Process(31).PPID = 21 }, want: "dockerd (pid 20), containerd (pid 21)"},
		{name: "podman's", change: parent("conmon"), want: "conmon (pid 30)"},
		{name: "a person's", change: parent("bash")},
		{name: "of another runtime in a container", change: func(h *snapshot.Host) { h.Process(30).Container = "c" }},
		{name: "its parent has ended", change: func(h *snapshot.Host) { h.Process(31).PPID = 99 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := shimHost(tt.namespace)
			if tt.change != nil {
				tt.change(h)
			}
			var names []string
			for _, d := range waiting(h, h.Process(31)) {
				names = append(names, d.Name())
			}
			if got := strings.Join(names, ", "); got != tt.want {
				t.Errorf("%s; want %s", got, tt.want)
			}
		})
	}
	if out := waiting(shimHost(""), nil); out != nil {
		t.Error(out)
	}
}

// Both acts name whom to ask, which makes no other step of them: a daemon that was started
// anew since is asked in its place.
func TestDumps(t *testing.T) {
	h := shimHost("moby")
	child := h.Process(31)
	fifo := check.Target{Kind: "fifo", PID: 31, Start: 4, Comm: "runc", Switches: 9, Path: "/run/exec.fifo", Inode: 7}
	for action, target := range map[string]check.Target{"end-runtime-child": check.ProcessTarget(child), "unblock-exec-fifo": fifo} {
		f := finding("x/1", check.Remedy{Action: action, Risk: "disruptive", Targets: []check.Target{target}})
		p := Make(h, []check.Finding{f})
		if len(p.Steps) != 1 || len(p.Steps[0].Dumps) != 3 || p.Steps[0].Dumps[0] != (Dump{PID: 20, Start: 2, Comm: "dockerd"}) {
			t.Errorf("%s: %+v", action, p.Steps)
			continue
		}
		p.Steps[0].Dumps = []Dump{{PID: 1, Start: 1, Comm: "init", File: "/etc/passwd"}} // as a plan's file may have it
		again := Again(p, Make(h, []check.Finding{f})).Steps[0]
		if again.Status != Planned || slices.ContainsFunc(again.Dumps, func(d Dump) bool { return d.PID == 1 }) {
			t.Errorf("%s: %+v", action, again)
		}
	}
}
