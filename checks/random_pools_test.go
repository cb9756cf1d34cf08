package checks

import (
	"fmt"
	"math/rand/v2"
	"time"

	"sexton.dev/snapshot"
)

// pool gives a host devices of device-mapper, daemons that use them, and a log of
// deletions that failed.
func pool(r *rand.Rand, h *snapshot.Host) {
	if r.IntN(4) == 0 {
		return
	}
	h.Pools = &snapshot.Pools{Loaded: r.IntN(4) > 0}
	names := []string{"docker-thinpool", "a--b-c", "x\x1b[2J", "vg-lv-tpool", ""}
	for i := range r.IntN(8) {
		m := snapshot.Mapped{Name: fmt.Sprintf("%s%d", pick(r, names...), i), Device: pick(r, "0:1", "0:2", "8:3", "254:7") + fmt.Sprint(i), Open: r.IntN(3), Type: pick(r, "", "linear", "thin", "thin-pool")}
		if r.IntN(3) == 0 {
			m.Device = pick(r, "0:1", "0:2", "8:3") // that is mounted, too
			if h.Pools.Device(m.Device) != nil {
				continue
			}
		}
		switch m.Type {
		case "thin":
			m.Thin = &snapshot.Thin{Pool: "254:70", ID: r.Uint64N(4), Failed: r.IntN(2) == 0}
			if len(h.Pools.Devices) > 0 {
				m.Thin.Pool = pick(r, h.Pools.Devices...).Device
			}
		case "thin-pool":
			m.Pool = &snapshot.Pool{Mode: pick(r, "", "rw", "rw", "ro", "out_of_data_space", "Fail", "Error", "?"), DataUsed: r.Uint64N(200), DataTotal: r.Uint64N(100), MetaUsed: r.Uint64N(200), MetaTotal: r.Uint64N(100),
				Block: pick(r, 0, uint64(65536), 1<<63), LowWater: r.Uint64N(100), Queues: r.IntN(2) == 0, TimedOut: r.IntN(4) == 0, NeedsCheck: r.IntN(5) == 0, Listed: r.IntN(3) > 0}
			for range r.IntN(4) {
				m.Pool.Holds = append(m.Pool.Holds, snapshot.Held{ID: r.Uint64N(4), Blocks: r.Uint64()})
			}
		}
		h.Pools.Devices = append(h.Pools.Devices, m)
	}
	if r.IntN(2) == 0 {
		h.Pools.Timeout = new(r.IntN(200) - 50)
	}
	for i, daemon := range []string{"docker", "containerd"} {
		if r.IntN(2) == 0 {
			h.Pools.Users = append(h.Pools.Users, snapshot.PoolUser{Daemon: daemon, Pool: fmt.Sprintf("%s%d", pick(r, names...), i), Said: "/x: y", Root: pick(r, "", "/d"), Disk: pick(r, "", "/dev/sdb"), Used: r.IntN(2) == 0, Force: r.IntN(2) == 0, PID: r.IntN(2)})
		}
	}
	if r.IntN(2) == 0 {
		h.Pools.LVM = &snapshot.LVM{Threshold: r.IntN(120), Profiles: []snapshot.LVMProfile{{Name: "p", Threshold: r.IntN(120)}},
			Groups: []snapshot.VolumeGroup{{Name: pick(r, "docker", "a-b", "vg"), File: "/etc/lvm/backup/x", Pools: []snapshot.LVMPool{{Name: pick(r, "thinpool0", "c1", "lv"), Profile: pick(r, "", "p", "q")}}}}}
	}
	if h.Log == nil {
		return
	}
	for range r.IntN(3) {
		full := snapshot.LogEvent{Family: snapshot.LogThinPool, Device: "254:7" + fmt.Sprint(r.IntN(8)), Text: pick(r, "x", "switching pool to out-of-data-space (queue IO) mode"), Time: h.Taken, Last: pick(r, h.Taken, time.Time{})}
		h.Log.Events = append(h.Log.Events, full, snapshot.LogEvent{Family: snapshot.LogThinDelete, Device: pick(r, "", "0", "1", "2", "3", "99", "-1", "16777216"), Text: pick(r, "", "Deletion of thin device failed."), Times: r.IntN(3)})
	}
}
