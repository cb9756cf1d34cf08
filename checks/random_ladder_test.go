package checks

import (
	"math/rand/v2"
	"time"

	"sexton.dev/snapshot"
)

// randomLadder puts some of the host's processes on rungs, or pids that are nobody's.
func randomLadder(r *rand.Rand, h *snapshot.Host) {
	rungs := []snapshot.Rung{snapshot.RungDockerd, snapshot.RungContainerd, snapshot.RungShim, snapshot.RungConmon, snapshot.RungChild, snapshot.RungInit,
		snapshot.RungProgram, snapshot.RungCRIO, snapshot.RungPodman, snapshot.RungCRIDockerd}
	said := func() []snapshot.Said {
		return pick(r, nil, []snapshot.Said{{Question: "ping", Took: time.Second, Silent: r.IntN(2) == 0, Full: r.IntN(3) == 0}},
			[]snapshot.Said{{Question: "ping"}, {Question: "version", Silent: true}})
	}
	id := func() string { return pick(r, "", "c1", "c2", "web", "\x1b[2J") }
	l := &snapshot.Ladder{}
	for range r.IntN(12) {
		x := snapshot.Layer{PID: 1 + r.IntN(25), Start: r.Uint64N(3) * 1000, Rung: pick(r, rungs...), Container: id(), Namespace: pick(r, "", "moby", "k8s.io"),
			Operation: pick(r, "", "exec", "start", "run", "\n"), Switches: r.Uint64N(2), Runs: r.IntN(4) == 0, On: pick(r, "", "pipe:[1]"),
			Pipe: pick(r, "", "/run/x-stdout"), Said: said(), Ran: r.IntN(3) == 0}
		for range r.IntN(3) {
			x.Readers, x.Beyond = append(x.Readers, r.IntN(25)), append(x.Beyond, r.IntN(25))
		}
		if r.IntN(4) > 0 {
			x.Wait = &snapshot.Task{TID: x.PID, State: pick(r, snapshot.Sleeping, snapshot.Uninterruptible, snapshot.Stopped), Wchan: pick(r, "", "wait_for_partner"), Syscall: pick(r, "", "read")}
		}
		if p := h.Process(x.PID); p != nil && r.IntN(4) > 0 {
			x.Start = p.Start
		}
		l.Layers = append(l.Layers, x)
	}
	for _, path := range []string{"/run/docker.sock", "/run/c.sock"} {
		l.Listeners = append(l.Listeners, snapshot.Listener{Path: path, PIDs: []int{1 + r.IntN(25)}, Pending: r.IntN(3)})
		h.Runtimes = append(h.Runtimes, snapshot.Runtime{Kind: pick(r, "docker", "containerd", "cri"), Socket: path, Said: said(), Ran: r.IntN(3) == 0, Err: pick(r, "", "e")})
		l.Inspected = append(l.Inspected, snapshot.Inspect{Container: id(), Runtime: "docker", Socket: path, Said: said(), Why: "w"})
	}
	h.Ladder = l
}
