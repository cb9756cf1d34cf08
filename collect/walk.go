package collect

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"sexton.dev/linux/cgroupfs"
)

// walkPlaces finds where every process is from the side of the cgroups: it reads
// cgroup.procs of each, which is cheaper than /proc/PID/cgroup of each process
// where there are far more processes than cgroups. It returns nil where that is
// not so, or where the cgroups cannot be seen whole; a process that it does
// not have (a dead one, one that started meanwhile) is to be asked itself.
func (l *looker) walkPlaces(processes int) map[int]*place {
	text, err := l.ReadFile("/proc/cgroups")
	if err != nil || l.cgroups.depth > 0 || len(l.cgroups.mounted) == 0 {
		return nil
	}
	// A cgroup costs about what four processes cost: a directory and a file.
	if n, err := cgroupfs.ParseCount(text); err != nil || 4*(n+len(l.cgroups.mounted)) > processes {
		return nil
	}
	w := &walk{l: l, trees: l.cgroups.telling(), at: map[int][]string{}, whole: true}
	for i, h := range w.trees {
		w.tree = i
		w.directory(h.at, "/", 0)
		if !w.whole {
			return nil
		}
	}
	return w.places()
}

// telling returns the hierarchies that say where a process is: version 2, and of
// version 1 those that every runtime uses. The others say the same again.
func (c *hierarchies) telling() []hierarchy {
	return slices.DeleteFunc(slices.Clone(c.mounted), func(h hierarchy) bool {
		return h.controllers != nil && !slices.ContainsFunc(h.controllers, func(name string) bool {
			return name == "pids" || name == "freezer" || name == "memory" || name == "name=systemd"
		})
	})
}

// A walk goes through every cgroup of every hierarchy.
type walk struct {
	l     *looker
	trees []hierarchy
	tree  int              // index of the one that is walked
	at    map[int][]string // pid -> path in each hierarchy, "" where it was not seen: at the root, but for the first
	whole bool             // nothing was hidden so far
}

const maxCgroupDepth = 64 // the kernel's own bound is cgroup.max.depth; a loop is impossible

func (w *walk) directory(dir, path string, depth int) {
	// The root of one tree names all that are nowhere else; those of the others would name them again.
	if depth > 0 || w.tree == 0 {
		text, err := w.l.ReadFile(dir + "/cgroup.procs")
		if err != nil {
			// A threaded cgroup says EOPNOTSUPP. Not a cgroup, or gone: nothing to see.
			w.whole = w.whole && depth > 0 && isAbsent(err)
			return
		}
		w.members(text, path)
	}
	names, err := w.l.ReadDir(dir)
	w.whole = w.whole && err == nil && depth < maxCgroupDepth
	for _, name := range names {
		if !isControlFile(name) {
			w.directory(dir+"/"+name, strings.TrimSuffix(path, "/")+"/"+name, depth+1)
		}
	}
}

// members notes the processes of one cgroup.
func (w *walk) members(text []byte, path string) {
	for line := range bytes.Lines(text) {
		pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		if err != nil || pid < 1 {
			continue // 0: of a PID namespace that the reader does not see
		}
		if w.at[pid] == nil {
			w.at[pid] = make([]string, len(w.trees))
		}
		w.at[pid][w.tree] = path
	}
}

// isControlFile reports whether a name in a cgroup's directory is that of a
// file, by the kernel's naming: CONTROLLER.FILE, and three of version 1 without
// a dot. A cgroup that was given such a name is not walked; its processes are
// asked themselves then.
func isControlFile(name string) bool {
	switch name {
	case "tasks", "notify_on_release", "release_agent":
		return true
	}
	prefix, _, dotted := strings.Cut(name, ".")
	if !dotted {
		return false
	}
	switch prefix {
	case "cgroup", "memory", "pids", "cpu", "cpuacct", "cpuset", "io", "blkio", "devices", "freezer", "hugetlb", "rdma",
		"misc", "net_cls", "net_prio", "perf_event", "irq", "dmem", "debug":
		return true
	}
	return false
}

// places makes of each process's paths the place that its own /proc/PID/cgroup
// would give. Processes with the same paths share one.
func (w *walk) places() map[int]*place {
	out := make(map[int]*place, len(w.at))
	for pid, paths := range w.at {
		key := strings.Join(paths, "\n")
		known, ok := w.l.places[key]
		if !ok {
			var all []cgroupfs.Membership
			for i, h := range w.trees {
				path := paths[i]
				if path == "" && i == 0 {
					all = nil // it started while the trees were walked
					break
				}
				all = append(all, cgroupfs.Membership{Hierarchy: hierarchyNumber(h, i), Controllers: h.controllers, Path: cmp.Or(path, "/")})
			}
			if all == nil {
				continue
			}
			known = w.l.cgroups.place(all)
			w.l.places[key] = known
		}
		out[pid] = known
	}
	return out
}

// hierarchyNumber is 0 for version 2, as in /proc/PID/cgroup, and not for version 1.
func hierarchyNumber(h hierarchy, i int) int {
	if h.controllers == nil {
		return 0
	}
	return i + 1
}
