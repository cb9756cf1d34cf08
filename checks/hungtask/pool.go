package hungtask

import (
	"fmt"

	"sexton.dev/check"
	"sexton.dev/holding"
	"sexton.dev/snapshot"
)

// poolWaiters tells, by process, for room in which full thin pool it waits. For this
// check alone neither pools nor references are read, which would cost more than all
// else that it looks at; where another one had them read, it says so much more.
func poolWaiters(before, now *snapshot.Host) map[int]*snapshot.Mapped {
	out := map[int]*snapshot.Mapped{}
	if now.Pools == nil {
		return out
	}
	for i := range now.Pools.Devices {
		m := &now.Pools.Devices[i]
		if m.Pool == nil || m.Pool.Mode != "out_of_data_space" || !m.Pool.Queues {
			continue
		}
		for _, w := range holding.WaitersOn(before, now, m.Device) {
			out[w.Process.PID] = m
		}
	}
	return out
}

// behindPool names the pool that has no room for what a process writes.
func (j *judge) behindPool(f *check.Finding, pool *snapshot.Mapped) {
	f.Cause = fmt.Sprintf("It waits for room in thin pool %s (%s), which is full and lets writes wait", pool.Name, pool.Device)
	f.Evidence = append(f.Evidence, check.Evidence{Source: "device-mapper status of " + pool.Name, Text: "mode out_of_data_space, queue_if_no_space"})
	f.Advice = []string{"until when, and how to give the pool room: sexton why thin-pool-space/" + pool.Name}
}
