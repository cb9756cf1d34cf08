package checks

import (
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"sexton.dev/snapshot"
)

// happen gives a host a kernel log, memory limits and containers whose start hangs.
func happen(r *rand.Rand, h *snapshot.Host) {
	ids := []string{"", "aa", "bb", "cc"}
	if r.IntN(4) > 0 {
		h.Log = &snapshot.KernelLog{PIDs: r.IntN(2) == 0}
		for range r.IntN(6) {
			h.Log.Events = append(h.Log.Events, snapshot.LogEvent{Family: pick(r, "oom", "oom", "oom", "hung-task", "fs-error"), Time: pick(r, time.Time{}, h.Taken, h.Taken.Add(-2*time.Hour)),
				Container: pick(r, ids...), PodUID: pick(r, "", "p"), Process: pick(r, "", "sh", "runc:[2:INIT]", "containerd-shim", "runc", "x\x1b[2J\n"), PID: r.IntN(25),
				Cgroup: pick(r, "", "/docker/aa", "/docker/cc/x", "/system.slice/bb.service"), Global: r.IntN(4) == 0, Limit: pick(r, 0, uint64(1<<20)), Text: pick(r, "", "a\nKilled process"), Times: r.IntN(3)})
		}
	}
	for i := range h.Cgroups {
		if id := path.Base(h.Cgroups[i].Path); slices.Contains(ids, id) && r.IntN(4) > 0 {
			h.Cgroups[i].Container = id
		}
		if r.IntN(2) == 0 {
			h.Cgroups[i].Memory = &snapshot.Memory{Limit: pick(r, 0, uint64(1<<20), 5<<20, 20<<20, 1<<40), Used: r.Uint64N(1 << 30), Kills: r.Uint64N(3), Reached: r.Uint64N(3), Waiting: r.IntN(5) == 0}
		}
	}
	wait := func() *snapshot.FifoWait {
		if p := h.Process(1 + r.IntN(24)); p != nil {
			return pick(r, nil, &snapshot.FifoWait{PID: p.PID, Start: p.Start, TID: p.PID, Switches: 1, Held: r.IntN(3) == 0})
		}
		return pick(r, nil, &snapshot.FifoWait{PID: 99, Start: 1})
	}
	for _, id := range ids[1:] {
		f := snapshot.Fifo{Path: "/run/moby/" + id + "/exec.fifo", Container: id, Reader: wait(), Writer: wait(), Err: pick(r, "", "gone")}
		if p := h.Process(1 + r.IntN(24)); p != nil && r.IntN(3) > 0 {
			f.Init = &snapshot.ID{PID: p.PID, Start: pick(r, p.Start, 7)}
		}
		h.Fifos = append(h.Fifos, f)
	}
	if r.IntN(2) == 0 {
		h.Runtimes = append(h.Runtimes, snapshot.Runtime{Kind: pick(r, "docker", "containerd"), Socket: "/s", Version: pick(r, "", "17.03.2-ce", "28.0.0", "?"), Err: pick(r, "", "no answer"),
			Components: pick(r, nil, map[string]string{"runc": "1.0.0-rc2"})})
	}
}
