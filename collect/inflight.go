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
func (l *looker) inFlight(table *snapshot.Mounts) {
	free := func(ns snapshot.MountNamespace) bool { return len(ns.Pins) == 0 }
	if !slices.ContainsFunc(table.Namespaces, free) {
		return
	}
	var found []snapshot.Pin
	for i := range l.h.Processes {
		p := &l.h.Processes[i]
		if p.Kernel || p.State == snapshot.Dead {
			continue
		}
		dir := "/proc/" + strconv.Itoa(p.PID)
		names, err := l.ReadDir(dir + "/fd")
		if err != nil {
			continue // said of all its files already
		}
		for _, name := range names {
			link, err := l.ReadLink(dir + "/fd/" + name)
			if fd, bad := strconv.Atoi(name); err == nil && bad == nil && strings.HasPrefix(link, "socket:[") && l.inSocket(dir+"/fdinfo/"+name) > 0 {
				found = append(found, snapshot.Pin{Kind: "socket", PID: p.PID, FD: fd})
			}
		}
	}
	for i := range table.Namespaces {
		if ns := &table.Namespaces[i]; free(*ns) {
			ns.Pins = append(ns.Pins, found...)
		}
	}
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
