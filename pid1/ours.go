package pid1

import (
	"os"
	"strings"
	"syscall"
)

// leftovers are the processes that are the init's to end.
type leftovers struct {
	list  []process
	whole bool // the list is all that the PID namespace has: kill(-1) reaches the same
	blind bool // there is no /proc: kill(-1) is all that can be done
}

// none reports whether all have ended. The dead that wait for a parent outside
// are as good as gone.
func (l leftovers) none() bool {
	for _, p := range l.list {
		if p.state != 'Z' && p.state != 'X' {
			return false
		}
	}
	return !l.blind
}

// ours lists what is to be ended: of process 1 of a PID namespace all but what
// another container brought in, else the init's descendants. The init and this
// process are left out.
func (j *job) ours() leftovers {
	all, ok := processes()
	if !ok {
		return leftovers{blind: j.init == 1 && syscall.Kill(-1, 0) == nil}
	}
	self := os.Getpid()
	var l leftovers
	if j.init == 1 {
		l.whole = true
		for _, p := range all {
			switch {
			case p.pid == 1 || p.pid == self:
			case foreign(p.pid):
				l.whole = false
			default:
				l.list = append(l.list, p)
			}
		}
		return l
	}
	below := map[int]bool{j.init: true}
	for grew := true; grew; { // parents may come after their children
		grew = false
		for _, p := range all {
			if !below[p.pid] && below[p.parent] && p.pid != self {
				below[p.pid], grew = true, true
				l.list = append(l.list, p)
			}
		}
	}
	return l
}

// foreign reports whether a process of process 1's PID namespace belongs to
// another container that shares it: it has other mounts, and is in a cgroup that
// is not at or below ours. Who may not be looked at may not be signalled either.
func foreign(pid int) bool {
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	other, err := os.Readlink("/proc/" + itoa(pid) + "/ns/mnt")
	if err != nil || other == mine {
		return false
	}
	ourGroups, err := readSmall("/proc/self/cgroup")
	if err != nil {
		return false
	}
	theirs, err := readSmall("/proc/" + itoa(pid) + "/cgroup")
	return err == nil && !within(theirs, ourGroups)
}

// within reports whether each line of one /proc/<pid>/cgroup is at or below the
// same line of another. Seen from a cgroup namespace, what is outside begins with /..
//
// Source: cgroups(7).
func within(theirs, ours string) bool {
	paths := map[string]string{}
	for line := range strings.Lines(ours) {
		if id, path, ok := cgroupLine(line); ok {
			paths[id] = path
		}
	}
	for line := range strings.Lines(theirs) {
		id, path, ok := cgroupLine(line)
		top, known := paths[id]
		outside := strings.HasPrefix(path, "/..") || path != top && !strings.HasPrefix(path, strings.TrimSuffix(top, "/")+"/")
		if ok && known && outside {
			return false
		}
	}
	return true
}

func cgroupLine(line string) (id, path string, ok bool) {
	parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
	if len(parts) != 3 {
		return "", "", false
	}
	return parts[0] + ":" + parts[1], parts[2], true
}
