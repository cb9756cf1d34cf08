package collect

import (
	"path"
	"strings"

	"sexton.dev/linux/cgroupfs"
	"sexton.dev/snapshot"
)

// memory reads limit and use of the memory cgroups of containers, and of those
// around them: a pod's limit kills in its containers.
func (l *looker) memory() {
	if !l.wants(snapshot.MemoryUse) {
		return
	}
	at := map[string]int{}
	for i, g := range l.h.Cgroups {
		at[g.Path] = i
	}
	seen := map[string]bool{"/": true, "": true, ".": true}
	for _, place := range l.placesByDepth() {
		if place.ID == "" {
			continue
		}
		for p := place.Memory; !seen[p]; p = path.Dir(p) {
			seen[p] = true
			m := l.memoryOf(p)
			if m == nil || *m == (snapshot.Memory{Used: m.Used}) {
				continue // it bounds nothing, and nothing happened
			}
			i, known := at[p]
			if !known {
				i = len(l.h.Cgroups)
				l.h.Cgroups = append(l.h.Cgroups, snapshot.Cgroup{Path: p, Container: cgroupfs.PlaceOf(p).ID})
			}
			l.h.Cgroups[i].Memory = m
		}
	}
}

// memoryOf reads one memory cgroup; nil if it is gone or has no such controller.
//
// Source: Linux 6.12 Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst.
func (l *looker) memoryOf(cgroup string) *snapshot.Memory {
	dir := l.cgroups.dir("memory", cgroup)
	if dir == "" {
		return nil
	}
	files := memoryFiles{"memory.max", "memory.current", "memory.events"}
	_, v1 := l.cgroups.v1["memory"]
	if v1 {
		files = memoryFiles{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"}
	}
	limit, err := l.ReadFile(dir + "/" + files.limit)
	if err != nil {
		l.unread(snapshot.MemoryUse, dir+"/"+files.limit, err) // in version 2 the root of a delegated tree has none
		return nil
	}
	m := &snapshot.Memory{Limit: l.bytes(dir+"/"+files.limit, limit)}
	if used, err := l.ReadFile(dir + "/" + files.used); err == nil {
		m.Used = l.bytes(dir+"/"+files.used, used)
	}
	events, err := l.ReadFile(dir + "/" + files.events)
	var counts map[string]uint64
	if err == nil {
		counts, err = cgroupfs.ParseKeyed(events)
	}
	l.unread(snapshot.MemoryUse, dir+"/"+files.events, err)
	m.Kills, m.Reached = counts["oom_kill"], counts["max"]
	m.Waiting = counts["oom_kill_disable"] == 1 && counts["under_oom"] == 1
	if v1 {
		if n, err := l.ReadFile(dir + "/memory.failcnt"); err == nil {
			m.Reached = l.bytes(dir+"/memory.failcnt", n)
		}
	}
	return m
}

type memoryFiles struct{ limit, used, events string }

// noLimit is what version 1 says where there is none: the largest number of whole
// pages that an int64 holds, on any size of page.
const noLimit = 1<<63 - 1<<20

// bytes parses a number of bytes; 0 for no limit.
func (l *looker) bytes(path string, text []byte) uint64 {
	n, limited, err := cgroupfs.ParseMax(text)
	l.unread(snapshot.MemoryUse, path, err)
	if !limited || strings.HasSuffix(path, "limit_in_bytes") && n >= noLimit {
		return 0
	}
	return n
}
