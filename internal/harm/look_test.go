package harm_test

import (
	"context"
	"slices"
	"strings"

	"sexton.dev/check"
	"sexton.dev/checks"
	"sexton.dev/collect"
	"sexton.dev/collect/door"
	"sexton.dev/snapshot"
)

// look takes a look as sexton does. Who the processes are meant to be is told by
// the story: there is no cgroup and no daemon of theirs.
func (h *host) look() (*snapshot.Host, []check.Finding, error) {
	live, err := door.Open("/", "")
	if err != nil {
		return nil, nil, err
	}
	defer live.Close()
	_, now := collect.Looks(context.Background(), live.Look(), nil, collect.Options{
		Parts: []snapshot.Part{snapshot.Processes, snapshot.MountTables, snapshot.References}, Proc: "/proc", Root: "/", Child: collect.Self, Within: true})
	now.Nested, now.Mounts.Blind = false, "" // nobody who is outside of this PID namespace has these mounts
	for i := range now.Processes {
		p := &now.Processes[i]
		if who, ok := h.lives[p.PID]; ok {
			p.Comm, p.Container = who.comm, who.container
		}
	}
	for _, id := range layers {
		c := snapshot.Container{ID: id, Runtime: "docker", State: "exited"}
		if slices.ContainsFunc(now.Processes, func(p snapshot.Process) bool { return p.Container == id }) {
			c.State = "running"
		}
		now.Containers = append(now.Containers, c)
	}
	now.Sort()
	var of []*check.Check
	for _, c := range checks.All() {
		if slices.Contains([]string{"leaked-mount", "busy-mount", "held-device"}, c.Name) {
			of = append(of, c)
		}
	}
	return now, check.Run(of, check.Pass{Now: now, Limits: check.Defaults}).Findings, nil
}

// A table is what a look had of all mounts, by id.
type table map[uint64]placed

type placed struct {
	*snapshot.Mount
	in *snapshot.MountNamespace
}

func tableOf(h *snapshot.Host) table {
	out := table{}
	for i := range h.Mounts.Namespaces {
		ns := &h.Mounts.Namespaces[i]
		for k := range ns.Mounts {
			out[ns.Mounts[k].ID] = placed{&ns.Mounts[k], ns}
		}
	}
	return out
}

// minus are the mounts that other has not, by id.
func (t table) minus(other table) (out []uint64) {
	for id := range t {
		if _, has := other[id]; !has {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// lostMaster are the mounts whose master is another than it was, although that group
// has members still.
func (t table) lostMaster(was table) (out []uint64) {
	groups := map[uint64]bool{}
	for _, m := range t {
		groups[m.Shared] = true
	}
	for id, m := range t {
		if old, ok := was[id]; ok && old.Master != 0 && m.Master != old.Master && groups[old.Master] {
			out = append(out, id)
		}
	}
	return out
}

// readOnly are the superblocks that may not be written.
func (t table) readOnly() (out []string) {
	for _, m := range t {
		if strings.HasPrefix(m.Super, "ro") && !slices.Contains(out, m.Device) {
			out = append(out, m.Device)
		}
	}
	slices.Sort(out)
	return out
}
