package execfifo

import (
	"slices"
	"strings"

	"sexton.dev/snapshot"
)

// leftBehind reports whether a container of docker's is not docker's any more. All
// dockers that are there must have said so.
func leftBehind(h *snapshot.Host, fifo *snapshot.Fifo) bool {
	if !strings.Contains(fifo.Path, "/moby/") {
		return false
	}
	asked := false
	for _, r := range h.Runtimes {
		if r.Kind != "docker" {
			continue
		}
		if r.Err != "" {
			return false
		}
		asked = true
	}
	c := h.Container(fifo.Container)
	return asked && (c == nil || !slices.Contains(c.ListedBy, "docker"))
}

// containerd is the socket of the one that answers; "" if none does.
func containerd(h *snapshot.Host) string {
	for _, r := range h.Runtimes {
		if r.Kind == "containerd" && r.Err == "" {
			return r.Socket
		}
	}
	return ""
}
