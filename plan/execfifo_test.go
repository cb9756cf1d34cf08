package plan

import (
	"cmp"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

func TestUnblock(t *testing.T) {
	reader := check.Target{Kind: "fifo", PID: 300, Start: 5, Comm: "runc", Switches: 12, Path: "/run/runc/a b/exec.fifo", Device: "0:24", Inode: 7, Container: "a b"}
	init := reader
	init.Kind, init.Comm = "init", "runc:[2:INIT]"
	waits := func(pid int) []snapshot.Fifo {
		return []snapshot.Fifo{{Path: reader.Path, Reader: &snapshot.FifoWait{PID: pid, Start: 5, TID: pid, Switches: 12}}}
	}
	there := []snapshot.Process{{PID: 300, Start: 5, State: "S"}}
	for _, tt := range []struct {
		name          string
		target        check.Target
		change        func(*check.Target)
		command       string
		refused       string
		later         *snapshot.Host
		gone, planned bool
	}{
		{name: "it still waits", target: reader, planned: true, command: `timeout 1 sh -c ': >'\''/run/runc/a b/exec.fifo'\'''`, later: &snapshot.Host{Processes: there, Fifos: waits(300)}},
		{name: "it goes on", target: reader, planned: true, later: &snapshot.Host{Processes: there}, gone: true},
		{name: "another waits there", target: reader, planned: true, later: &snapshot.Host{Processes: there, Fifos: waits(301)}, gone: true},
		{name: "it has ended", target: reader, planned: true, gone: true},
		{name: "its number is another's", target: reader, planned: true, later: &snapshot.Host{Processes: []snapshot.Process{{PID: 300, Start: 6}}, Fifos: waits(300)}, gone: true},
		{name: "it cannot be looked at", target: reader, planned: true, later: &snapshot.Host{Processes: there, Unread: []snapshot.Unread{{Part: snapshot.Fifos}}}},
		{name: "an init", target: init, planned: true, command: `kill -KILL 300 && ctr -n moby task rm 'a b'`, later: &snapshot.Host{Processes: there}},
		{name: "an init that is dead", target: init, planned: true, later: &snapshot.Host{Processes: []snapshot.Process{{PID: 300, Start: 5, State: "Z"}}}, gone: true},
		{name: "no inode", target: reader, change: func(t *check.Target) { t.Inode = 0 }, planned: true, refused: "could not be looked at", gone: true},
		{name: "no switches", target: reader, change: func(t *check.Target) { t.Switches = 0 }, planned: true, refused: "as root", gone: true},
		{name: "no kind", target: reader, change: func(t *check.Target) { t.Kind = "process" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(&tt.target)
			}
			p := Make(host(), []check.Finding{finding("exec-fifo/x", check.Remedy{Action: "unblock-exec-fifo", Risk: "disruptive", Targets: []check.Target{tt.target}})})
			if (len(p.Steps) == 1) != tt.planned {
				t.Fatalf("%+v", p.Steps)
			}
			if !tt.planned {
				return
			}
			s := p.Steps[0]
			if tt.command != "" && s.Command != tt.command || (s.Refused == "") != (tt.refused == "") || !strings.Contains(s.Refused, tt.refused) {
				t.Errorf("%q, refused %q", s.Command, s.Refused)
			}
			later := cmp.Or(tt.later, &snapshot.Host{})
			later.Sort()
			if gone, left := Gone(later, s); gone != tt.gone || !gone && left == "" {
				t.Errorf("gone %v, left %q", gone, left)
			}
		})
	}
}
