package collect

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"sexton.dev/linux/cgroupfs"
	"sexton.dev/linux/mounts"
	"sexton.dev/snapshot"
)

// hierarchies say where the host's cgroup hierarchies are mounted and how far
// below their root the reader's cgroup namespace begins.
type hierarchies struct {
	v1      map[string]string // controller -> mount point
	v2      string            // mount point, "" if none
	mounted []hierarchy
	depth   int // of the reader's cgroup namespace below the root
}

// A hierarchy is one mounted tree of cgroups.
type hierarchy struct {
	controllers []string // options of version 1's superblock, controllers among them; nil for version 2
	at          string
}

// findHierarchies reads the mount table of the host's init, else the reader's own.
func (l *looker) findHierarchies() {
	text, err := l.ReadFile("/proc/1/mountinfo")
	if err != nil {
		if text, err = l.ReadFile("/proc/self/mountinfo"); err != nil {
			l.missing(snapshot.Places, "/proc/1/mountinfo", cause(err))
			return
		}
	}
	table, err := mounts.ParseMountinfo(text)
	l.unread(snapshot.Places, "/proc/1/mountinfo", err)
	l.cgroups = hierarchies{v1: map[string]string{}}
	for _, m := range table {
		switch {
		case m.Root != "/": // a part of one, as in a container
		case m.Type == "cgroup2" && l.cgroups.v2 == "":
			l.cgroups.v2 = m.MountPoint
			l.cgroups.mounted = append(l.cgroups.mounted, hierarchy{at: m.MountPoint})
		case m.Type == "cgroup":
			options := strings.Split(m.Super, ",")
			fresh := true
			for _, option := range options {
				if _, twice := l.cgroups.v1[option]; !twice {
					l.cgroups.v1[option] = m.MountPoint
				} else if option != "rw" && option != "ro" {
					fresh = false
				}
			}
			if fresh {
				l.cgroups.mounted = append(l.cgroups.mounted, hierarchy{options, m.MountPoint})
			}
		}
	}
	// kthreadd is in the root cgroup, so its path is as many .. as the reader's namespace is deep.
	if text, err := l.ReadFile("/proc/2/cgroup"); err == nil {
		if all, err := cgroupfs.ParseMembership(text); err == nil && len(all) > 0 {
			l.cgroups.depth = strings.Count(all[0].Path, "/..")
		}
	}
}

// place says where a process is. The path that names a container wins, since a
// runtime may use only some hierarchies of version 1.
func (c *hierarchies) place(all []cgroupfs.Membership) *place {
	p := &place{}
	for _, m := range all {
		if at := cgroupfs.PlaceOf(m.Path); p.Path == "" && at.ID != "" {
			p.Place, p.Path = at, c.absolute(m.Path)
		}
	}
	if m, ok := cgroupfs.Of(all, "pids"); ok {
		p.PIDs = c.absolute(m.Path)
	}
	if m, ok := cgroupfs.Of(all, "freezer"); ok {
		p.Freezer = c.absolute(m.Path)
	}
	if m, ok := cgroupfs.Of(all, "memory"); ok {
		p.Memory = c.absolute(m.Path)
	}
	if p.Path == "" && p.Freezer != "/" { // whoever put it into one by hand froze it there
		p.Path = p.Freezer
	}
	if p.Path == "" {
		p.Path = p.PIDs
		// Without accounting a controller of version 1 has only a part of the way to a unit.
		if m, ok := cgroupfs.Of(all, "name=systemd"); ok && strings.HasPrefix(c.absolute(m.Path), strings.TrimSuffix(p.Path, "/")+"/") {
			p.Path = c.absolute(m.Path)
		}
	}
	if p.Path == "" && len(all) > 0 {
		p.Path = c.absolute(all[0].Path)
	}
	return p
}

// absolute turns a path relative to the reader's cgroup namespace into the
// host's, where that can be known: the ancestors of the namespace have no names in it.
func (c *hierarchies) absolute(p string) string {
	if c.depth == 0 || strings.Count(p, "/..") != c.depth {
		return p
	}
	return path.Clean("/" + strings.ReplaceAll(p, "/..", ""))
}

// dir returns the directory of a cgroup in the hierarchy of a controller, "" if it has none.
func (c *hierarchies) dir(controller, cgroup string) string {
	at, ok := c.v1[controller]
	if !ok {
		at = c.v2
	}
	if at == "" || strings.HasPrefix(cgroup, "/..") {
		return ""
	}
	return path.Join(at, cgroup)
}

// budgets reads the pids limits of every cgroup that a process is in, and of those above it.
func (l *looker) budgets() {
	if !l.wants(snapshot.Budgets) {
		return
	}
	seen := map[string]bool{"/": true, "": true, ".": true}
	for _, at := range l.placesByDepth() {
		for p := at.PIDs; !seen[p]; p = path.Dir(p) {
			seen[p] = true
			l.budget(p, cgroupfs.PlaceOf(p).ID)
		}
	}
}

func (l *looker) budget(cgroup, container string) {
	dir := l.cgroups.dir("pids", cgroup)
	if dir == "" {
		return
	}
	text, err := l.ReadFile(dir + "/pids.max")
	if err != nil {
		l.unread(snapshot.Budgets, dir+"/pids.max", err)
		return
	}
	limit, limited, err := cgroupfs.ParseMax(text)
	l.unread(snapshot.Budgets, dir+"/pids.max", err)
	if err != nil || !limited {
		return
	}
	g := snapshot.Cgroup{Path: cgroup, Container: container, PIDsMax: int(limit), PIDs: l.number(dir + "/pids.current")}
	if text, err := l.ReadFile(dir + "/pids.events"); err == nil { // kernel 4.8
		events, err := cgroupfs.ParseKeyed(text)
		l.unread(snapshot.Budgets, dir+"/pids.events", err)
		g.PIDsFail = events["max"]
	}
	l.h.Cgroups = append(l.h.Cgroups, g)
}

// frozen reads the freezer of every cgroup that a process is in.
func (l *looker) frozen() {
	if !l.wants(snapshot.Frozen) {
		return
	}
	seen := map[string]freezer{"/": {}, "": {}} // the root cannot be frozen
	for _, at := range l.places {
		is, read := seen[at.Freezer]
		if dir := l.cgroups.dir("freezer", at.Freezer); !read && dir != "" {
			is = l.freezer(dir)
		}
		if seen[at.Freezer] = is; !is.frozen && !is.freezing || at.ID == "" && at.Path != at.Freezer {
			continue // or its other path, maybe the root, would be called frozen
		}
		i := slices.IndexFunc(l.h.Cgroups, func(g snapshot.Cgroup) bool { return g.Path == at.Path })
		if i < 0 {
			i = len(l.h.Cgroups)
			l.h.Cgroups = append(l.h.Cgroups, snapshot.Cgroup{Path: at.Path, Container: at.ID})
		}
		g := &l.h.Cgroups[i]
		g.Frozen, g.Freezing = is.frozen, is.freezing
		g.Freezer, g.Inode = l.freezerFile(at.Freezer)
	}
}

// freezerFile is what thaws a cgroup when it is written to, and the inode number by
// which its directory is told from a later one of the same path; 0 is not known.
func (l *looker) freezerFile(cgroup string) (string, uint64) {
	dir := l.cgroups.dir("freezer", cgroup)
	file := dir + "/cgroup.freeze"
	if _, v1 := l.cgroups.v1["freezer"]; v1 {
		file = dir + "/freezer.state"
	}
	text, err := l.Ask("inode"+dir, func() ([]byte, error) {
		var st syscall.Stat_t
		err := syscall.Lstat(path.Join("/", l.Root, dir), &st)
		return strconv.AppendUint(nil, st.Ino, 10), err
	})
	if err != nil {
		return file, 0
	}
	n, _ := strconv.ParseUint(string(text), 10, 64)
	return file, n
}

// A freezer is the state of one cgroup's freezer. Version 1 says of itself that
// it is freezing as long as one task does not come to it.
type freezer struct{ frozen, freezing bool }

// freezer reads freezer.state of version 1 or cgroup.events of version 2 (kernel 5.2).
func (l *looker) freezer(dir string) freezer {
	if _, v1 := l.cgroups.v1["freezer"]; v1 {
		text, err := l.ReadFile(dir + "/freezer.state")
		l.unread(snapshot.Frozen, dir+"/freezer.state", err)
		return freezer{frozen: strings.HasPrefix(string(text), "FROZEN"), freezing: strings.HasPrefix(string(text), "FREEZING")}
	}
	text, err := l.ReadFile(dir + "/cgroup.events")
	if err != nil {
		l.unread(snapshot.Frozen, dir+"/cgroup.events", err)
		return freezer{}
	}
	events, err := cgroupfs.ParseKeyed(text)
	l.unread(snapshot.Frozen, dir+"/cgroup.events", err)
	return freezer{frozen: events["frozen"] == 1}
}
