package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sexton.dev/snapshot"
)

// runtimes are the processes that others wait for. A comm is cut to 15 bytes:
// docker-containe is docker's own containerd, or its shim, until 18.06.
var runtimes = []string{"dockerd", "containerd", "containerd-shim", "crio", "conmon", "runc", "crun", "kubelet", "podman", "cri-dockerd",
	"docker-runc", "docker-containe"}

// IsRuntime reports whether a process has the name of a part of a container
// runtime. Whoever runs in a container may choose such a name.
func IsRuntime(comm string) bool {
	return slices.Contains(runtimes, comm) || snapshot.RuncInit(comm)
}

// Kills returns the out-of-memory kills that the kernel's log tells of, the oldest
// first: those of a runtime's processes, or those of others. Containers that only
// their runtime knows by an id are named.
func Kills(h *snapshot.Host, ofRuntime bool) (out []snapshot.LogEvent) {
	if h.Log == nil {
		return nil
	}
	for _, e := range h.Log.Events {
		if e.Family != snapshot.LogOOM || IsRuntime(e.Process) != ofRuntime {
			continue
		}
		if e.Container == "" && e.Cgroup != "" {
			e.Container = containerAt(h, e.Cgroup)
		}
		out = append(out, e)
	}
	return out
}

// containerAt finds the container whose cgroup a path is, or is below.
func containerAt(h *snapshot.Host, path string) string {
	for _, c := range h.Containers {
		if len(c.Cgroup) > 1 && strings.HasPrefix(path+"/", c.Cgroup+"/") {
			return c.ID
		}
	}
	return ""
}

// IsRecent reports whether an event counts as one of now. One whose time is not
// known does.
func (p Pass) IsRecent(at time.Time) bool {
	return at.IsZero() || p.Now.Taken.Sub(at) <= p.Limits.Recent
}

// Logged is an event of the kernel's log as evidence: its last message tells most.
func Logged(e snapshot.LogEvent) Evidence {
	source := "kernel log"
	if !e.Time.IsZero() {
		source += ", " + e.Time.Format(time.RFC3339)
	}
	text := e.Text[strings.LastIndexByte(e.Text, '\n')+1:]
	if text == "" {
		text = fmt.Sprintf("%s: %s (pid %d)", e.Family, e.Process, e.PID)
	}
	return Evidence{Source: source, Text: text}
}

// Size prints a number of bytes: "64 MiB", "1.5 GiB", "900 B".
func Size(bytes uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	n, i := float64(bytes), 0
	for ; n >= 1024 && i < len(units)-1; i++ {
		n /= 1024
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") + " " + units[i]
}
