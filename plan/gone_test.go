package plan

import (
	"reflect"
	"strings"
	"testing"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

func TestGone(t *testing.T) {
	h := host()
	p := Make(h, []check.Finding{
		finding("unreaped-children/7.70", reapApp(snapshot.ID{PID: 8, Start: 80}, snapshot.ID{PID: 9, Start: 90})),
		finding("hung-task/20.200", check.Remedy{Action: "resume-process", Risk: "safe", Targets: []check.Target{check.ProcessTarget(h.Process(20))}}),
		finding("hung-task/held", check.Remedy{Action: "thaw", Risk: "disruptive", Targets: []check.Target{{Kind: "cgroup", Cgroup: "/held"}}}),
	})
	if len(p.Steps) != 3 {
		t.Fatalf("%d steps", len(p.Steps))
	}
	later := host()
	later.Processes[3].Start = 91 // pid 9 was reaped and used again
	later.Processes[4].State = "S"
	later.Cgroups[0].Frozen = false
	for i, s := range p.Steps {
		if gone, left := Gone(h, s); gone || left == "" {
			t.Errorf("%s: gone before it began", s.Action)
		}
		gone, left := Gone(later, s)
		if want := i > 0; gone != want {
			t.Errorf("%s: gone %v, left %q", s.Action, gone, left)
		}
	}
	if _, left := Gone(later, p.Steps[0]); left != "1 dead child of 2 left" {
		t.Errorf("left %q", left)
	}
	if gone, left := Gone(later, Step{Action: "pray"}); gone || left == "" {
		t.Error("what nobody can do is gone")
	}
}

// What was not read is not gone, and what was not read elsewhere is no lack.
func TestGoneUnread(t *testing.T) {
	mounts := &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{{Inode: 2, ID: 20}}}
	in := func(inode, id uint64) check.Target {
		return check.Target{Kind: "mount", Mount: 9, MountNamespace: inode, MountNamespaceID: id}
	}
	for _, tt := range []struct {
		action string
		target check.Target
		mounts *snapshot.Mounts
		fuse   []snapshot.FUSEConnection
		unread *snapshot.Unread
		left   string // "" for gone
	}{
		{"unmount-in-namespace", in(2, 20), nil, nil, nil, "the mounts were not read"},
		{"unmount-in-namespace", in(2, 20), mounts, nil, nil, ""},
		{"unmount-in-namespace", in(2, 20), mounts, nil, &snapshot.Unread{Part: snapshot.MountTables, Path: "mnt:[3]", Err: "denied"}, ""},
		{"unmount-in-namespace", in(3, 30), mounts, nil, nil, ""}, // it has ended
		{"unmount-in-namespace", in(3, 30), mounts, nil, &snapshot.Unread{Part: snapshot.MountTables, Path: "mnt:[3]", Err: "denied"}, "cannot be told: mnt:[3]: denied"},
		{"unmount-in-namespace", in(2, 21), mounts, nil, &snapshot.Unread{Part: snapshot.MountTables, Path: "mnt:[3]", Err: "denied"}, "cannot be told"},
		{"unmount-in-namespace", in(2, 20), mounts, nil, &snapshot.Unread{Part: snapshot.References, Path: "7", Err: "denied"}, ""},
		{"remove-mountpoint", check.Target{Kind: "mountpoint", Mounts: []uint64{9}}, nil, nil, nil, "the mounts were not read"},
		{"remove-mountpoint", check.Target{Kind: "mountpoint", Mounts: []uint64{9}, MountNamespace: 2, MountNamespaceID: 20}, mounts, nil, &snapshot.Unread{Part: snapshot.MountTables, Path: "mnt:[3]", Err: "denied"}, "cannot be told"},
		{"remove-mountpoint", check.Target{Kind: "mountpoint", Mounts: []uint64{9}}, mounts, nil, nil, ""},
		{"thaw", check.Target{Cgroup: "/a", Path: "/c/a/freezer.state"}, nil, nil, nil, ""},
		{"thaw", check.Target{Cgroup: "/a", Path: "/c/a/freezer.state"}, nil, nil, &snapshot.Unread{Part: snapshot.Frozen, Path: "/c/b/freezer.state", Err: "denied"}, ""},
		{"thaw", check.Target{Cgroup: "/a", Path: "/c/a/cgroup.freeze"}, nil, nil, &snapshot.Unread{Part: snapshot.Frozen, Path: "/c/a/cgroup.events", Err: "denied"}, "cannot be told: /c/a/cgroup.events: denied"},
		{"thaw", check.Target{Cgroup: "/a", Path: "/c/a/cgroup.freeze"}, nil, nil, &snapshot.Unread{Part: snapshot.Places, Path: "/proc/7/cgroup", Err: "denied"}, "cannot be told"},
		{"abort-fuse", check.Target{Device: "0:57"}, nil, nil, nil, ""},
		{"abort-fuse", check.Target{Device: "0:57"}, nil, nil, &snapshot.Unread{Part: snapshot.Threads, Path: "/proc/7/task", Err: "denied"}, "cannot be told"},
		{"abort-fuse", check.Target{Device: "0:57"}, nil, []snapshot.FUSEConnection{{Minor: 57, Waiting: -1}}, nil, "how many of its requests wait cannot be read"},
		{"abort-fuse", check.Target{Device: "0:57"}, nil, []snapshot.FUSEConnection{{Minor: 57, Waiting: 2}}, nil, "2 requests still without an answer"},
		{"abort-fuse", check.Target{Device: "0:57"}, nil, []snapshot.FUSEConnection{{Minor: 57}, {Minor: 58, Waiting: 2}}, nil, ""},
		{"resume-process", check.Target{PID: 7}, nil, nil, &snapshot.Unread{Part: snapshot.Processes, Path: "/proc", Err: "denied", Whole: true}, "cannot be told: /proc: denied"},
		{"restart-holder", check.Target{PID: 7}, nil, nil, &snapshot.Unread{Part: snapshot.Processes, Path: "/proc", Err: "denied", Whole: true}, "cannot be told"},
		{"nudge-parent", check.Target{Children: []snapshot.ID{{PID: 7}}}, nil, nil, &snapshot.Unread{Part: snapshot.Processes, Path: "/proc", Err: "denied", Whole: true}, "cannot be told"},
	} {
		h := snapshot.Host{Mounts: tt.mounts, FUSE: tt.fuse}
		if tt.unread != nil {
			h.Unread = []snapshot.Unread{*tt.unread}
		}
		gone, left := Gone(&h, Step{Action: tt.action, Target: tt.target})
		if gone != (tt.left == "") || !strings.Contains(left, tt.left) {
			t.Errorf("%s %+v, %+v: %v %q", tt.action, tt.target, tt.unread, gone, left)
		}
	}
}

// The number of a FUSE connection is told from a later one's by a mount of it, else by
// a thread that waits for it; where neither is known nothing is aborted.
func TestAbortTold(t *testing.T) {
	waits := snapshot.Task{TID: 8, State: snapshot.Uninterruptible, Wchan: "request_wait_answer", Switches: 5}
	mounted := func(way string, id uint64) *snapshot.Mounts {
		return &snapshot.Mounts{Way: way, Namespaces: []snapshot.MountNamespace{{Inode: 2, ID: id, Mounts: []snapshot.Mount{{ID: 1 << 31, Device: "0:57", Point: "/f"}}}}}
	}
	for _, tt := range []struct {
		name   string
		mounts *snapshot.Mounts
		tasks  []snapshot.Task
		fuse   []int
		want   check.Target
	}{
		{"a mount", mounted("statmount", 20), []snapshot.Task{waits}, []int{57}, check.Target{Mount: 1 << 31, MountNamespace: 2, MountNamespaceID: 20}},
		{"a thread: the mount's number is used again", mounted("mountinfo", 20), []snapshot.Task{waits}, []int{57}, check.Target{PID: 7, Start: 70, Comm: "cat", TID: 8, Switches: 5}},
		{"a thread: the namespace's number is", mounted("statmount", 0), []snapshot.Task{{TID: 7, State: snapshot.Uninterruptible, Wchan: "down_read", Switches: 4}, waits}, []int{57}, check.Target{PID: 7, Start: 70, Comm: "cat", TID: 8, Switches: 5}},
		{"it waits for another", nil, []snapshot.Task{waits}, []int{58}, check.Target{}},
		{"its switches were not read", nil, []snapshot.Task{{TID: 8, Wchan: "request_wait_answer"}}, []int{57}, check.Target{}},
		{"nothing", nil, nil, nil, check.Target{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &snapshot.Host{Mounts: tt.mounts, Processes: []snapshot.Process{{PID: 7, Start: 70, Comm: "cat", Tasks: tt.tasks, FUSE: tt.fuse}}}
			h.Sort()
			f := finding("hung-task/7", check.Remedy{Action: "abort-fuse", Risk: "disruptive", Targets: []check.Target{{Kind: "fuse", Device: "0:57"}}})
			f.Subject.PID = 7
			s := Make(h, []check.Finding{f}).Steps[0]
			tt.want.Kind, tt.want.Device = "fuse", "0:57"
			if !reflect.DeepEqual(s.Target, tt.want) {
				t.Errorf("%+v", s.Target)
			}
			if told := tt.want.Mount != 0 || tt.want.TID != 0; told == (s.Refused != "") {
				t.Errorf("refused: %q", s.Refused)
			}
		})
	}
}
