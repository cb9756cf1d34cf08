package verdict

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sexton.dev/propagation"
)

// Seed of all: docker's private graph root, a unit that was cloned from the host,
// and a namespace that somebody made private.
func world() (*propagation.Table, []Side) {
	const root, graph, layer = "/", "/var/lib/docker", "/var/lib/docker/a/merged"
	m := func(id, parent, ns uint64, device uint64, dir, point string, peer, master uint64) propagation.Mount {
		return propagation.Mount{ID: id, Parent: parent, Namespace: ns, Device: device, Root: dir, Point: point, Peer: peer, Master: master}
	}
	t, _ := propagation.New([]propagation.Mount{
		m(10, 9, 1, 1, root, root, 1, 0), m(11, 10, 1, 1, graph, graph, 0, 0), m(12, 11, 1, 2, root, layer, 0, 0), m(13, 10, 1, 3, root, "/mnt", 5, 0),
		m(20, 19, 2, 1, root, root, 2, 1), m(21, 20, 2, 1, graph, graph, 7, 0), m(22, 21, 2, 2, root, layer, 8, 0), m(23, 20, 2, 3, root, "/mnt", 9, 5),
		m(30, 29, 3, 1, root, root, 0, 0), m(33, 30, 3, 3, root, "/mnt", 0, 5), m(34, 33, 3, 4, root, "/mnt/sub", 0, 0),
	}, []propagation.Namespace{{ID: 1}, {ID: 2}, {ID: 3}})
	return t, []Side{{Name: "host", Namespace: 1, Whole: true}, {Name: "unit", Namespace: 2, Whole: true}, {Name: "clone", Namespace: 3, Whole: true}}
}

func TestJudge(t *testing.T) {
	table, sides := world()
	ask := func(targets map[string][]uint64, from ...string) map[string]string {
		q := Question{Target: "t", Complete: true, From: from}
		for _, s := range sides {
			s.Targets = targets[s.Name]
			q.Sides = append(q.Sides, s)
		}
		out := map[string]string{}
		for _, p := range Judge(table, q).Verdicts {
			out[p.From+" to "+p.To] = p.Verdict + ": " + p.Why
		}
		return out
	}
	layer := map[string][]uint64{"host": {12}, "unit": {22}}
	mnt := map[string][]uint64{"host": {13}, "unit": {23}, "clone": {33}}
	for _, tt := range []struct {
		name string
		got  map[string]string
		want map[string]string
	}{
		{"a private parent", ask(layer, "host"), map[string]string{
			"host to unit":  "stays: its parent in host, /var/lib/docker, is private: an unmount on it is told to nobody",
			"host to clone": "unknown: in clone it is not mounted",
		}},
		{"from where it is not", ask(layer, "clone"), map[string]string{
			"clone to host": "unknown: in clone it is not mounted: there is nothing to unmount",
			"clone to unit": "unknown: in clone it is not mounted: there is nothing to unmount",
		}},
		{"a slave goes, a private parent does not, whatever the copy's tags are", ask(mnt, "host"), map[string]string{
			"host to unit":  "goes: its parent in unit, /, is shared:2 master:1: it receives from group 1",
			"host to clone": "stays: its parent in clone, /, is private: it receives nothing from group 1",
		}},
		{"up from a slave", ask(mnt, "unit"), map[string]string{
			"unit to host":  "stays: its parent in host, /, is shared:1: it receives nothing from group 2",
			"unit to clone": "stays: its parent in clone, /, is private: it receives nothing from group 2",
		}},
		{"busy", ask(mnt, "clone"), map[string]string{
			"clone to host": "stays: its parent in clone, /, is private: an unmount on it is told to nobody",
			"clone to unit": "stays: its parent in clone, /, is private: an unmount on it is told to nobody",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Every pair has a verdict, and asking from nowhere answers for all.
func TestAllPairs(t *testing.T) {
	table, sides := world()
	sides[0].Targets, sides[1].Targets, sides[2].Targets = []uint64{13}, []uint64{23}, []uint64{33}
	a := Judge(table, Question{Target: "/mnt", Sides: sides, Complete: true})
	if len(a.Verdicts) != 6 || len(a.Namespaces) != 3 || len(a.Chain) != 6 {
		t.Errorf("%d verdicts, %d namespaces, %d links", len(a.Verdicts), len(a.Namespaces), len(a.Chain))
	}
	want := []Namespace{{Name: "host", Propagation: "shared", Shared: 5}, {Name: "unit", Propagation: "shared+slave", Shared: 9, Master: 5}, {Name: "clone", Propagation: "slave", Master: 5}}
	if diff := cmp.Diff(want, a.Namespaces); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What is open on a mount, or on a copy that its unmount would reach, refuses a plain
// unmount and not a lazy one; on a copy that it does not reach nobody asks.
func TestUsers(t *testing.T) {
	table, sides := world()
	sides[0].Targets, sides[1].Targets, sides[2].Targets = []uint64{13}, []uint64{23}, []uint64{33}
	const busy = "the unmount fails (EBUSY): /mnt in unit is in use by sh (pid 7) (cwd); --detach does not ask"
	for _, tt := range []struct {
		name    string
		users   map[uint64]string
		lazy    bool
		from    string
		verdict string // of host to unit
		refused []Refusal
	}{
		{"on the copy that goes along", map[uint64]string{23: "sh (pid 7) (cwd)"}, false, "host", "stays: " + busy, []Refusal{{"host", "EBUSY", busy}}},
		{"lazily", map[uint64]string{23: "sh (pid 7) (cwd)"}, true, "host", "goes: its parent in unit, /, is shared:2 master:1: it receives from group 1", nil},
		{"on a copy that stays", map[uint64]string{33: "sh (pid 7) (cwd)"}, false, "host", "goes: its parent in unit, /, is shared:2 master:1: it receives from group 1", nil},
		{"on the mount itself", map[uint64]string{23: "sh (pid 7) (cwd)"}, false, "unit", "", []Refusal{{"unit", "EBUSY", busy}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := Judge(table, Question{Target: "/mnt", Sides: sides, Complete: true, Lazy: tt.lazy, From: []string{tt.from}, Users: tt.users})
			for _, p := range a.Verdicts {
				if got := p.Verdict + ": " + p.Why; p.To == "unit" && got != tt.verdict {
					t.Errorf("got  %s\nwant %s", got, tt.verdict)
				}
			}
			if diff := cmp.Diff(tt.refused, a.Refused); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A copy in a user namespace's own, of which nobody knows whether it is locked: the
// answer is likely where a lock would decide it, and sure where none can.
func TestLikely(t *testing.T) {
	m := func(id, parent, ns, device uint64, point string, peer, master uint64, locked bool) propagation.Mount {
		return propagation.Mount{ID: id, Parent: parent, Namespace: ns, Device: device, Root: "/", Point: point, Peer: peer, Master: master, Locked: locked}
	}
	mounts := []propagation.Mount{
		m(10, 9, 1, 1, "/", 1, 0, false), m(11, 10, 1, 2, "/p", 2, 0, false), m(12, 11, 1, 3, "/p/s", 3, 0, false),
		m(20, 19, 2, 1, "/", 0, 1, false), m(21, 20, 2, 2, "/p", 0, 2, true), m(22, 21, 2, 3, "/p/s", 0, 3, true), // slaves
		m(30, 29, 3, 1, "/", 0, 0, false), m(31, 30, 3, 2, "/p", 0, 2, true), m(32, 31, 3, 3, "/p/s", 0, 3, true), // "/" is private
		m(40, 39, 4, 1, "/", 4, 0, false), m(41, 40, 4, 2, "/p", 5, 0, true), m(42, 41, 4, 3, "/p/s", 6, 0, true), // a shared one, of which host is told
	}
	mounts[0].Master, mounts[1].Master = 4, 5
	table, problems := propagation.New(mounts, []propagation.Namespace{{ID: 1}, {ID: 2, Owner: 5}, {ID: 3, Owner: 5}, {ID: 4, Owner: 5}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	all := map[uint64]bool{21: true, 22: true, 31: true, 32: true, 41: true}
	sides := []Side{{Name: "host", Namespace: 1, Targets: []uint64{11}, Whole: true}, {Name: "slave", Namespace: 2, Targets: []uint64{21}, Whole: true},
		{Name: "private", Namespace: 3, Targets: []uint64{31}, Whole: true}, {Name: "up", Namespace: 4, Targets: []uint64{41}, Whole: true}}
	ask := func(t *propagation.Table, unsure, asked map[uint64]bool) (Answer, map[string]Pair) {
		a := Judge(t, Question{Target: "/p", Sides: sides, Complete: true, Lazy: true, Unsure: unsure, Asked: asked})
		out := map[string]Pair{}
		for _, p := range a.Verdicts {
			out[p.From+" to "+p.To] = p
		}
		return a, out
	}
	for _, tt := range []struct {
		name, pair, want string
		likely           bool
		unsure, asked    map[uint64]bool
		locks            map[uint64]bool // other than in the table
	}{
		{"the original's unmount takes locked copies", "host to slave", "goes: its parent in slave, /, is a slave, master:1: it receives from group 1", false, all, nil, nil},
		{"a private parent decides, not a lock", "host to private", "stays: its parent in private, /, is private: it receives nothing from group 1", false, all, nil, nil},
		{"a lock refuses", "up to host", "stays: the unmount likely fails (EINVAL): it is likely locked, as what comes with its parent from a more privileged user namespace is" + likely, true, all, nil, nil},
		{"guessed to be free", "up to host", "goes: its parent in host, /, is shared:1 master:4: it receives from group 4" + likely, true, all, nil, map[uint64]bool{41: false}},
		{"asked, and it refuses", "up to host", "stays: the unmount fails (EINVAL): it is locked, it came from a more privileged user namespace with its parent", false, nil, all, nil},
		{"asked, and it is free", "up to host", "goes: its parent in host, /, is shared:1 master:4: it receives from group 4", false, nil, all, map[uint64]bool{41: false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, got := ask(table.Relock(tt.locks), tt.unsure, tt.asked)
			p := got[tt.pair]
			if p.Verdict+": "+p.Why != tt.want || p.Likely != tt.likely {
				t.Errorf("likely %v\n got %s: %s\nwant %s", p.Likely, p.Verdict, p.Why, tt.want)
			}
			words := map[bool][2]string{true: {"likely", "unlikely"}, false: {"yes", "no"}}[tt.unsure != nil]
			up := words[0]
			if tt.locks != nil {
				up = words[1]
			}
			if a.Namespaces[0].Locked != "" || a.Namespaces[1].Locked != words[0] || a.Namespaces[3].Locked != up {
				t.Errorf("locked: %+v", a.Namespaces)
			}
		})
	}
	// A submount that is locked to a copy that stays: example 14.
	kept := []propagation.Mount{m(10, 9, 1, 1, "/", 1, 0, false), m(11, 10, 1, 2, "/p", 2, 0, false), m(12, 11, 1, 3, "/p/s", 3, 0, false),
		m(30, 29, 3, 1, "/", 0, 0, false), m(31, 30, 3, 2, "/p", 0, 2, true), m(32, 31, 3, 3, "/p/s", 0, 3, true)}
	table, _ = propagation.New(kept, []propagation.Namespace{{ID: 1}, {ID: 3, Owner: 5}})
	sides = []Side{{Name: "host", Namespace: 1, Targets: []uint64{12}, Whole: true}, {Name: "private", Namespace: 3, Targets: []uint64{32}, Whole: true}}
	if _, got := ask(table, all, nil); got["host to private"].Verdict != Goes || got["host to private"].Likely {
		t.Errorf("the copy of what is unmounted is unlocked first: %+v", got["host to private"])
	}
}
