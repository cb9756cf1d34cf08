package holding

import (
	"fmt"
	"slices"
	"testing"

	"sexton.dev/snapshot"
)

func TestMap(t *testing.T) {
	h := host()
	m := MapOf(h)
	if MapOf(h) != m {
		t.Error("the map was made twice")
	}
	var found []uint64
	for p := range m.Places("252:0") {
		found = append(found, p.Mount.ID)
		if m.In(p.Mount) != p.Namespace {
			t.Errorf("mount %d is in another namespace", p.Mount.ID)
		}
	}
	if !slices.Equal(found, []uint64{101, 201, 301, 401}) || m.Mounted("9:9") {
		t.Errorf("mounts of 252:0: %v", found)
	}
	for i, want := range []string{"[101]", "[201]", "[301]", "[401]"} {
		ns := &h.Mounts.Namespaces[i]
		if got := fmt.Sprint(ids(h, m.within(ns, "252:0"))); got != want || !m.Has(ns, "252:0") || m.Has(ns, "8:3") != (i == 0) {
			t.Errorf("in namespace %d: %s, want %s", i+1, got, want)
		}
	}
	if got := fmt.Sprint(ids(h, m.within(&h.Mounts.Namespaces[0], "8:3"))); got != "[100 104]" {
		t.Errorf("two mounts of one superblock in one namespace: %s", got)
	}
	if m.Has(&snapshot.MountNamespace{}, "252:0") {
		t.Error("a namespace of another look has a mount of this one")
	}
}

func ids(h *snapshot.Host, spots []spot) (out []uint64) {
	for _, s := range spots {
		out = append(out, s.in(h).Mount.ID)
	}
	return out
}

// A daemon's namespace owns, and so does the nearest one to the first process;
// one without a process does not.
func TestOwners(t *testing.T) {
	h := &snapshot.Host{
		Processes: []snapshot.Process{{PID: 1, Comm: "systemd"}, {PID: 2, PPID: 1, Comm: "dockerd"}, {PID: 3, PPID: 2, Comm: "dockerd", Container: "aa"}},
		Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{
			{Inode: 1}, {Inode: 2, Pins: []snapshot.Pin{{Kind: "process", PID: 3}}}, {Inode: 3, Pins: []snapshot.Pin{{Kind: "process", PID: 2}}}, {Inode: 4, Pins: []snapshot.Pin{{Kind: "process", PID: 1}}}}},
	}
	for i := range h.Mounts.Namespaces {
		id := uint64(10 * i)
		h.Mounts.Namespaces[i].Mounts = []snapshot.Mount{{ID: id, Device: "8:1"}, {ID: id + 1, Parent: id, Device: "8:1"}}
	}
	h.Sort()
	var got []uint64
	for _, o := range MapOf(h).Owners("8:1") {
		got = append(got, o.Inode)
	}
	if !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("owners: %v", got)
	}
}

// Who came into the PID namespace by nsenter has no parent there, and is no owner for that.
func TestOwnersForeign(t *testing.T) {
	has := []snapshot.Mount{{ID: 1, Device: "8:1", Root: "/", Point: "/"}}
	h := &snapshot.Host{
		Processes: []snapshot.Process{{PID: 1, Comm: "init"}, {PID: 30, Comm: "came"}, {PID: 31, PPID: 30, Comm: "child"}},
		Mounts: &snapshot.Mounts{Namespaces: []snapshot.MountNamespace{
			{Inode: 4, Mounts: has, Pins: []snapshot.Pin{{Kind: "process", PID: 30}, {Kind: "process", PID: 31}}},
			{Inode: 5, Mounts: []snapshot.Mount{{ID: 2, Device: "8:1", Root: "/", Point: "/"}}, Pins: []snapshot.Pin{{Kind: "process", PID: 1}}},
		}},
	}
	h.Sort()
	if all := MapOf(h).Owners("8:1"); len(all) != 1 || all[0].Inode != 5 {
		t.Errorf("%+v", all)
	}
}
