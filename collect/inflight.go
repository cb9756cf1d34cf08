package collect

import (
	"slices"
	"strconv"
	"strings"

	"sexton.dev/snapshot"
)

// inFlight looks for sockets in which descriptors wait to be received, where a
// namespace is kept by nothing else: no link names what is in flight, but since
// Linux 5.6 a socket tells how many there are.
//
// Source: Linux 5.6 net/unix/af_unix.c, unix_show_fdinfo, scm_fds.
func (l *looker) inFlight(table *snapshot.Mounts, asked *Asked) {
	free := func(ns snapshot.MountNamespace) bool { return len(ns.Pins) == 0 && asked.about(ns.Inode) }
	if !slices.ContainsFunc(table.Namespaces, free) {
		return
	}
	var found []snapshot.Pin
	host := l.passing()
	for _, pid := range l.withFiles() {
		dir := "/proc/" + strconv.Itoa(pid)
		names, err := host.ReadDir(dir + "/fd")
		if err != nil {
			continue // said of all its files already
		}
		for _, name := range names {
			link, err := host.ReadLink(dir + "/fd/" + name)
			if fd, bad := strconv.Atoi(name); err == nil && bad == nil && strings.HasPrefix(link, "socket:[") && l.inSocket(dir+"/fdinfo/"+name) > 0 {
				found = append(found, snapshot.Pin{Kind: "socket", PID: pid, FD: fd})
			}
		}
	}
	for i := range table.Namespaces {
		if ns := &table.Namespaces[i]; free(*ns) {
			ns.Pins = append(ns.Pins, found...)
		}
	}
}

// withFiles lists the processes that may have open files.
func (l *looker) withFiles() (pids []int) {
	if l.lean() {
		names, _ := l.ReadDir("/proc") // what keeps namespaces was read from it: it is there
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	for i := range l.h.Processes {
		if p := &l.h.Processes[i]; !p.Kernel && p.State != snapshot.Dead {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// inSocket is how many descriptors wait in the socket of an fdinfo file.
func (l *looker) inSocket(path string) int {
	for line := range strings.Lines(l.text(path)) {
		if value, ok := strings.CutPrefix(line, "scm_fds:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
