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
	want := []Namespace{{"host", "shared", 5, 0}, {"unit", "shared+slave", 9, 5}, {"clone", "slave", 0, 5}}
	if diff := cmp.Diff(want, a.Namespaces); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
