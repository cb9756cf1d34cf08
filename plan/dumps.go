package plan

import (
	"cmp"
	"slices"

	"sexton.dev/snapshot"
)

// A Dump is a process that waits for a step's target: what hangs in it is gone after the
// step, so its goroutines are asked for before. That there are none stops nothing.
type Dump struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot
	Comm  string `json:"comm"`
	File  string `json:"file,omitempty"` // where they were kept
	Why   string `json:"why,omitempty"`  // why there are none, or not all
}

// Name is how people know it.
func (d Dump) Name() string { return named(d.Comm, d.PID) }

// parents are who starts a runc, with how the kernel cuts the names of Docker before
// 18.09, and whether containerd is, or is above, such a one.
var parents = map[string]bool{"containerd-shim": true, "containerd": true, "docker-containe": true, "conmon": false, "crio": false}

// waiting are the processes that wait for a runc or its init: its parent, containerd
// and, unless that works for others, dockerd; the highest first. What runs in a
// container is that one's affair.
func waiting(h *snapshot.Host, child *snapshot.Process) (out []Dump) {
	if child == nil {
		return nil
	}
	near := h.Process(child.PPID)
	if near == nil || near.Container != "" {
		return nil
	}
	ofContainerd, known := parents[near.Comm]
	if !known {
		return nil
	}
	up := []*snapshot.Process{near}
	layer := h.Ladder.Layer(near.ID())
	for _, r := range []snapshot.Rung{snapshot.RungContainerd, snapshot.RungDockerd} {
		if !ofContainerd || r == snapshot.RungDockerd && layer != nil && layer.Namespace != "moby" && layer.Namespace != "" {
			break
		}
		all := onRung(h, r)
		if len(all) == 0 || slices.Contains(all, near) {
			continue
		}
		near = slices.MaxFunc(all, func(a, b *snapshot.Process) int { return cmp.Compare(h.Above(a, near), h.Above(b, near)) })
		up = append(up, near)
	}
	for _, p := range slices.Backward(up) {
		out = append(out, Dump{PID: p.PID, Start: p.Start, Comm: p.Comm})
	}
	return out
}

// onRung are the daemons of a rung or, where the ladder was not looked at, who has its name.
func onRung(h *snapshot.Host, r snapshot.Rung) (out []*snapshot.Process) {
	if h.Ladder != nil {
		for _, x := range h.Ladder.Of(r) {
			if p := h.Same(x.ID()); p != nil {
				out = append(out, p)
			}
		}
		return out
	}
	for i := range h.Processes {
		if p := &h.Processes[i]; p.Comm == string(r) && p.Container == "" && p.State != snapshot.Dead {
			out = append(out, p)
		}
	}
	return out
}
