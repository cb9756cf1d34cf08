package snapshot

import (
	"cmp"
	"path"
	"slices"
	"sync"
	"time"
)

// index finds things in a Host; it is built once, when first asked for.
type index struct {
	once     sync.Once
	byPID    map[int]*Process
	children map[int][]*Process
	byID     map[string]*Container
	cgroups  map[string]*Cgroup
	spaces   map[int]*MountNamespace // by the pid of each process in them
	derived  sync.Map                // see [Derived]

	mountsOnce sync.Once
	mounts     map[uint64]spot // asked for each mount again and again: not by way of Derived
}

func (h *Host) build() *index {
	h.index.once.Do(func() {
		x := &h.index
		x.byPID = make(map[int]*Process, len(h.Processes))
		x.children = make(map[int][]*Process)
		x.byID = make(map[string]*Container, len(h.Containers))
		x.cgroups = make(map[string]*Cgroup, len(h.Cgroups))
		x.spaces = indexSpaces(h.Mounts)
		for i := range h.Processes {
			p := &h.Processes[i]
			x.byPID[p.PID] = p
			x.children[p.PPID] = append(x.children[p.PPID], p)
		}
		for i := range h.Containers {
			x.byID[h.Containers[i].ID] = &h.Containers[i]
		}
		for i := range h.Cgroups {
			x.cgroups[h.Cgroups[i].Path] = &h.Cgroups[i]
		}
	})
	return &h.index
}

// Derived returns what build makes of a host: once for each type T, until the next
// [Host.Sort]. Packages above this one keep their own indexes so; who gets one reads only.
func Derived[T any](h *Host, build func(*Host) T) T {
	key := (*T)(nil) // a nil of the type names the type
	if known, ok := h.index.derived.Load(key); ok {
		return known.(T)
	}
	v, _ := h.index.derived.LoadOrStore(key, build(h))
	return v.(T)
}

// Process returns the process with this number, nil if there is none.
func (h *Host) Process(pid int) *Process { return h.build().byPID[pid] }

// Same returns the process with this identity, nil if it ended or its number is another's now.
func (h *Host) Same(id ID) *Process {
	if p := h.Process(id.PID); p != nil && p.Start == id.Start {
		return p
	}
	return nil
}

// Children returns the processes whose parent is pid, by pid.
func (h *Host) Children(pid int) []*Process { return h.build().children[pid] }

// Container returns the container with this full id, nil if there is none.
func (h *Host) Container(id string) *Container { return h.build().byID[id] }

// Cgroup returns the control group at this path, nil if it has nothing to say.
func (h *Host) Cgroup(path string) *Cgroup { return h.build().cgroups[path] }

// Started returns when a process started, from its ticks and the host's uptime;
// the zero time if the uptime was not read.
func (h *Host) Started(p *Process) time.Time {
	if h.Uptime == 0 {
		return time.Time{}
	}
	boot := h.Taken.Add(-time.Duration(h.Uptime * float64(time.Second)))
	return boot.Add(time.Duration(p.Start) * (time.Second / 100)).Truncate(time.Second)
}

// Sort puts everything in the order that readers expect. It ends what the index
// knew: collect calls it after each step that adds something.
func (h *Host) Sort() {
	h.index = index{}
	slices.SortFunc(h.Processes, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	slices.SortFunc(h.Cgroups, func(a, b Cgroup) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(h.Containers, func(a, b Container) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(h.FUSE, func(a, b FUSEConnection) int { return cmp.Compare(a.Minor, b.Minor) })
	slices.SortStableFunc(h.Unread, func(a, b Unread) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Path, b.Path))
	})
}

// Bounds returns the cgroups that bound how many tasks a process's cgroup may
// have, innermost first.
func (h *Host) Bounds(cgroup string) []*Cgroup {
	var out []*Cgroup
	for p := cgroup; p != "" && p != "/" && p != "."; p = path.Dir(p) {
		if g := h.Cgroup(p); g != nil && g.PIDsMax > 0 {
			out = append(out, g)
		}
	}
	return out
}

// Frozen returns the cgroup that a process is frozen by, nil if it is not.
func (h *Host) Frozen(p *Process) *Cgroup {
	if g := h.Cgroup(p.Cgroup); g != nil && g.Frozen {
		return g
	}
	return nil
}

// Paused reports whether a runtime says that it paused the container: a wish, not a fault.
func (h *Host) Paused(container string) bool {
	c := h.Container(container)
	return c != nil && c.State == "paused"
}
