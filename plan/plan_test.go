package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/check"
	"sexton.dev/snapshot"
)

// host is a look at a parent with two dead children, a stopped daemon, a frozen
// cgroup, and a layer that its owner has unmounted and another namespace has.
func host() *snapshot.Host {
	return &snapshot.Host{
		Name: "n1", BootID: "b1", Kernel: "6.18.0", Taken: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Processes: []snapshot.Process{
			{PID: 1, Start: 1, Comm: "systemd", State: "S"},
			{PID: 7, PPID: 1, Start: 70, Comm: "app", State: "S"},
			{PID: 8, PPID: 7, Start: 80, Comm: "sh", State: "Z"},
			{PID: 9, PPID: 7, Start: 90, Comm: "sh", State: "Z"},
			{PID: 20, PPID: 1, Start: 200, Comm: "dockerd", State: "T", Tasks: []snapshot.Task{{TID: 20, Switches: 44}}},
		},
		Cgroups:    []snapshot.Cgroup{{Path: "/held", Frozen: true, Freezer: "/sys/fs/cgroup/freezer/held/freezer.state", Inode: 5}},
		Containers: []snapshot.Container{{ID: strings.Repeat("d", 64), Runtime: "docker", State: "dead"}},
		Runtimes:   []snapshot.Runtime{{Kind: "docker", Socket: "/run/docker.sock"}},
	}
}

func finding(id string, remedies ...check.Remedy) check.Finding {
	return check.Finding{ID: id, Remedies: remedies}
}

func nudgeApp(h *snapshot.Host) check.Remedy {
	return check.Remedy{Action: "nudge-parent", Risk: "safe", Targets: []check.Target{check.ProcessTarget(h.Process(7))}}
}

func reapApp(children ...snapshot.ID) check.Remedy {
	return check.Remedy{Action: "reap-by-ptrace", Risk: "safe", Targets: []check.Target{{Kind: "children", PID: 7, Start: 70, Comm: "app", Children: children}}}
}

// Rounds come one after the other, what needs others comes last, and an act that
// two findings want is planned once.
func TestMakeOrder(t *testing.T) {
	h := host()
	dead := finding("dead-container/d", check.Remedy{Action: "retry-remove", Risk: "disruptive"})
	dead.Subject.Container = strings.Repeat("d", 64)
	p := Make(h, []check.Finding{
		dead,
		finding("unreaped-children/7.70", nudgeApp(h), reapApp(snapshot.ID{PID: 8, Start: 80})),
		finding("hung-task/20.200", check.Remedy{Action: "resume-process", Risk: "safe", Targets: []check.Target{check.ProcessTarget(h.Process(20))}}),
		finding("unreaped-children/again", nudgeApp(h)),
		finding("unknown", check.Remedy{Action: "pray", Risk: "safe"}),
	})
	var got []string
	for _, s := range p.Steps {
		got = append(got, s.Action+" for "+s.Finding)
	}
	want := []string{"nudge-parent for unreaped-children/7.70", "resume-process for hung-task/20.200",
		"reap-by-ptrace for unreaped-children/7.70", "retry-remove for dead-container/d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if p.BootID != "b1" || p.ID == "" || p.ID != Make(h, []check.Finding{dead}).withSteps(p.Steps) {
		t.Errorf("the plan's id %q is not that of its steps", p.ID)
	}
	if at := p.Steps[1].NotBefore; !at.Equal(h.Taken.Add(time.Minute)) || p.Steps[1].Target.Switches != 44 {
		t.Errorf("a stopped process may be resumed at %v, after %d switches", at, p.Steps[1].Target.Switches)
	}
}

func (p Plan) withSteps(s []Step) string { p.Steps = s; return planID(p) }

func TestRefusedWhenPlanned(t *testing.T) {
	h := host()
	h.Processes[4].Container = strings.Repeat("c", 64)
	h.Containers = append(h.Containers, snapshot.Container{ID: strings.Repeat("c", 64), Name: "web", State: "paused"})
	p := Make(h, []check.Finding{finding("hung-task/20.200", check.Remedy{Action: "resume-process", Risk: "safe", Targets: []check.Target{check.ProcessTarget(h.Process(20))}})})
	if len(p.Steps) != 1 || !strings.Contains(p.Steps[0].Refused, "container web is paused on purpose") {
		t.Errorf("got %+v", p.Steps)
	}
}

// A step of a file is done only if the live host gives the same one.
func TestAgain(t *testing.T) {
	h := host()
	findings := func(children ...snapshot.ID) []check.Finding {
		return []check.Finding{finding("unreaped-children/7.70", reapApp(children...))}
	}
	eight, nine := snapshot.ID{PID: 8, Start: 80}, snapshot.ID{PID: 9, Start: 90}
	for _, tt := range []struct {
		name   string
		change func(old, live *Plan)
		status Status
		why    string
	}{
		{"the same", func(old, live *Plan) {}, Planned, ""},
		{"another boot", func(old, live *Plan) { live.BootID = "b2" }, Refused, "before the last boot"},
		{"a risk that was changed by hand", func(old, live *Plan) { old.Steps[0].Risk = "disruptive" }, Refused, "the plan's file was changed"},
		{"a target that was changed by hand", func(old, live *Plan) { old.Steps[0].Target.PID = 1 }, Refused, "the plan's file was changed"},
		{"an action of which nobody knows", func(old, live *Plan) { old.Steps[0].Action = "pray"; old.Steps[0].ID = identity(old.Steps[0]) }, Refused, "no action named"},
		{"a higher risk by now", func(old, live *Plan) { live.Steps[0].Risk = "disruptive"; live.Steps[0].ID = identity(live.Steps[0]) }, "", "its risk is disruptive now"},
		{"a process that was started again", func(old, live *Plan) { live.Steps[0].Target.Start = 71; live.Steps[0].ID = identity(live.Steps[0]) }, "", "another target now"},
		{"nothing to do any more", func(old, live *Plan) { live.Steps = nil }, "", "no such step"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old, live := Make(h, findings(eight, nine)), Make(h, findings(eight, nine))
			tt.change(&old, &live)
			got := Again(old, live).Steps[0]
			if got.Status != tt.status || !strings.Contains(got.Why, tt.why) {
				t.Errorf("got %q: %q", got.Status, got.Why)
			}
		})
	}
	old, live := Make(h, findings(eight)), Make(h, findings(eight, nine))
	if got := Again(old, live).Steps[0].Target.Children; len(got) != 1 || got[0] != eight {
		t.Errorf("of what was looked at %v is left", got)
	}
}

// What a container chose as a path is one word of the command that is shown.
func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/var/lib/docker/a_b-1.2": "/var/lib/docker/a_b-1.2", "": "''", "/a b": "'/a b'", "/a'; rm -rf /": `'/a'\''; rm -rf /'`,
		"/a\nb": `$'/a\x0ab'`, "/a\xff'\\": `$'/a\xff\'\\'`, "/é x": "'/é x'", "$(reboot)": "'$(reboot)'", "~": "'~'",
		"/a  b": "'/a  b'", "/a\u202eb": `$'/a\xe2\x80\xaeb'`, "/a\u00a0b": `$'/a\xc2\xa0b'`, // what is not shown as itself
	} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// A container names its cgroups as it likes: the command for one is one word of a shell all the same.
func TestThawByHand(t *testing.T) {
	h := host()
	h.Cgroups[0].Path, h.Cgroups[0].Freezer = "/a;reboot #", "/sys/fs/cgroup/a;reboot #/cgroup.freeze"
	p := Make(h, []check.Finding{finding("hung-task/a", check.Remedy{Action: "thaw", Risk: "disruptive", Targets: []check.Target{{Kind: "cgroup", Cgroup: "/a;reboot #"}}})})
	if want := "echo 0 > '/sys/fs/cgroup/a;reboot #/cgroup.freeze'"; p.Steps[0].Command != want {
		t.Errorf("%s, want %s", p.Steps[0].Command, want)
	}
}

// A file chooses steps and says nothing of how long their targets stay as they are.
func TestAgainWaits(t *testing.T) {
	h := host()
	findings := []check.Finding{finding("hung-task/20.200", check.Remedy{Action: "resume-process", Risk: "safe", Targets: []check.Target{check.ProcessTarget(h.Process(20))}})}
	old, live := Make(h, findings), Make(h, findings)
	old.Steps[0].NotBefore = time.Time{}
	if at := Again(old, live).Steps[0].NotBefore; !at.Equal(h.Taken.Add(stopMeant)) {
		t.Errorf("it may be resumed at %v", at)
	}
}

// Whether a container is paused is its runtime's to say: one that is silent may have paused it.
func TestPausedPerhaps(t *testing.T) {
	thawIt := check.Remedy{Action: "thaw", Risk: "disruptive", Targets: []check.Target{{Kind: "cgroup", Cgroup: "/held"}}}
	for state, want := range map[string]string{"": "docker does not say", "running": "", "paused": "is paused on purpose"} {
		h := host()
		h.Cgroups[0].Container = strings.Repeat("c", 64)
		h.Containers = append(h.Containers, snapshot.Container{ID: strings.Repeat("c", 64), State: state})
		h.Runtimes = []snapshot.Runtime{{Kind: "docker", Socket: "/s", Err: "no answer", Silent: true}}
		p := Make(h, []check.Finding{finding("hung-task/held", thawIt)})
		if got := p.Steps[0].Refused; !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("state %q: refused %q", state, got)
		}
	}
}

// A restart of dockerd stops every container, but with live-restore.
func TestRestartDocker(t *testing.T) {
	f := finding("leaked-mount/7", check.Remedy{Action: "restart-holder", Risk: "disruptive"})
	f.Holders = []check.Holder{{Kind: "process", PID: 20, Comm: "dockerd", Unit: "docker.service"}}
	for _, live := range []bool{false, true} {
		h := host()
		h.Settings = &snapshot.Settings{Docker: &snapshot.DockerSettings{LiveRestore: live}}
		if got := Make(h, []check.Finding{f}).Steps[0].Refused; (got == "") != live {
			t.Errorf("live-restore %v: refused %q", live, got)
		}
	}
}
